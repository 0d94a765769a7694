// Which pixels of a picture a pixel of the resized one is made of, along one side, and with which whole weights.
//
// Taps are {first, last, weights} for every output: `weights` belong to the input pixels first .. last.

import { clamp, roundHalfEven } from "./rounding.js";

/** Two neighbours, weights in 1/2048, in float32 where OpenCV computes in float32. */
export function linearTaps(length, resized, start, count) {
  const step = length / resized;
  return Array.from({ length: count }, (_, index) => {
    const centre = Math.fround((start + index + 0.5) * step - 0.5);
    const before = Math.floor(centre);
    const fraction = Math.fround(centre - before);
    return {
      first: clamp(before, 0, length - 1),
      last: clamp(before + 1, 0, length - 1),
      weights: [roundHalfEven(Math.fround(1 - fraction) * 2048), roundHalfEven(fraction * 2048)],
    };
  });
}

/** Bits behind the point of a weight that averages. */
export const AVERAGING_BITS = 22;

/** All pixels that an output covers, weighted by a filter in float64, then in whole 1/4194304, as Pillow does. */
export function averagingTaps(length, resized, start, count, filter) {
  const scale = length / resized;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  return Array.from({ length: count }, (_, index) => {
    const centre = (start + index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), length);
    const heights = [];
    for (let at = first; at < end; at += 1) heights.push(filter.height((at - centre + 0.5) * (1 / widening)));
    const sum = heights.reduce((total, height) => total + height, 0);
    const weights = heights.map((height) => wholeWeight(sum === 0 ? height : height / sum));
    return { first, last: end - 1, weights };
  });
}

function wholeWeight(weight) {
  return Math.trunc(weight * 2 ** AVERAGING_BITS + (weight < 0 ? -0.5 : 0.5));
}

/** The filters by the names of `Preprocess.interpolation`: support in pixels, and height at a distance. */
export const FILTERS = {
  bilinear: { support: 1, height: (x) => Math.max(1 - Math.abs(x), 0) },
  bicubic: { support: 2, height: (x) => cubic(Math.abs(x)) },
};

function cubic(x) {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}
