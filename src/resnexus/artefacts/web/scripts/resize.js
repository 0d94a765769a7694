// Resize the short side of a picture and cut out the centre, bit for bit as `resnexus.Preprocess` does.
//
// Pixels are {data, width, height, stride, channels}: rows of `stride` bytes for a pixel, of which the first `channels`
// count. `preprocess` is the record of that name, in its JSON form.

import { clamp, roundHalfEven } from "./rounding.js";
import { AVERAGING_BITS, FILTERS, averagingTaps, linearTaps } from "./taps.js";

/** Largest picture, and longest side, that is decoded. */
export const MAX_PIXELS = 89478485;
export const MAX_SIDE = 65535;

/**
 * What has to be known before a picture of some size can be resized.
 *
 * Returns {across, down, rowsFirst, region, crop}: the taps of columns and rows, counted from the corner of the region;
 * whether averaging begins with the rows, which matters to the last bit; the region of the picture that the taps read,
 * {left, top, width, height} in pixels; and what of the picture the crop shows, likewise, in pixels and parts of them.
 * Returns null if the whole resized picture would be too large to average.
 */
export function planned(width, height, preprocess) {
  const { size, resize_short: short, antialias, interpolation } = preprocess;
  const scale = short / Math.min(width, height);
  const resized = { width: roundHalfEven(width * scale), height: roundHalfEven(height * scale) };
  if (antialias && resized.width * resized.height > MAX_PIXELS) return null;
  const left = Math.floor((resized.width - size) / 2);
  const top = Math.floor((resized.height - size) / 2);
  const taps = antialias ? averagingTaps : linearTaps;
  const columns = taps(width, resized.width, left, size, FILTERS[interpolation]);
  const rows = taps(height, resized.height, top, size, FILTERS[interpolation]);
  const [across, wide] = fromCorner(columns);
  const [down, high] = fromCorner(rows);
  return {
    across,
    down,
    rowsFirst: height - resized.height > Math.max(0, 2 * (width - resized.width)),
    region: { left: wide.first, top: high.first, width: wide.count, height: high.count },
    crop: {
      left: (left * width) / resized.width,
      top: (top * height) / resized.height,
      width: (size * width) / resized.width,
      height: (size * height) / resized.height,
    },
  };
}

/** The resized square: (size, size, channels) as a Uint8Array, of the pixels of a plan's region. */
export function resized(pixels, plan, preprocess) {
  return (preprocess.antialias ? averaged : blended)(pixels, plan);
}

/** Grey as Pillow computes it of red, green and blue. */
export function grey({ data, width, height, stride }) {
  const result = new Uint8Array(width * height);
  for (let at = 0; at < result.length; at += 1) {
    const from = at * stride;
    result[at] = (data[from] * 19595 + data[from + 1] * 38470 + data[from + 2] * 7471 + 0x8000) >> 16;
  }
  return { data: result, width, height, stride: 1, channels: 1 };
}

function fromCorner(taps) {
  const first = Math.min(...taps.map((tap) => tap.first));
  const last = Math.max(...taps.map((tap) => tap.last));
  const moved = taps.map(({ first: from, last: to, weights }) => ({ first: from - first, last: to - first, weights }));
  return [moved, { first, count: last - first + 1 }];
}

/** OpenCV's INTER_LINEAR for bytes: columns first, to 15 bits, then rows. */
function blended(pixels, { across, down }) {
  const { channels } = pixels;
  const line = across.length * channels;
  const result = new Uint8Array(line * down.length);
  const row = remembered((y) => blendedRow(pixels, across, y));
  down.forEach(({ first, last, weights: [near, far] }, index) => {
    const [above, below] = [row(first), row(last)];
    for (let at = 0; at < line; at += 1) {
      result[index * line + at] = (((above[at] * near) >> 16) + ((below[at] * far) >> 16) + 2) >> 2;
    }
  });
  return result;
}

function blendedRow({ data, width, stride, channels }, across, y) {
  const result = new Int32Array(across.length * channels);
  let at = 0;
  for (const { first, last, weights: [near, far] } of across) {
    const left = (y * width + first) * stride;
    const right = (y * width + last) * stride;
    for (let channel = 0; channel < channels; channel += 1) {
      result[at] = (data[left + channel] * near + data[right + channel] * far) >> 4;
      at += 1;
    }
  }
  return result;
}

/** Pillow's resize for bytes: each pass is rounded to bytes. */
function averaged(pixels, plan) {
  const { data, width, stride, channels } = pixels;
  const { across, down } = plan;
  const line = width * stride;
  const raw = (y) => data.subarray(y * line, (y + 1) * line);
  const narrowed = remembered((y) => averagedColumns(raw(y), stride, channels, across));
  const rows = down.map(({ first, weights }) =>
    plan.rowsFirst
      ? averagedColumns(averagedRows(raw, first, weights), stride, channels, across)
      : averagedRows(narrowed, first, weights),
  );
  const result = new Uint8Array(rows.length * across.length * channels);
  rows.forEach((row, index) => result.set(row, index * row.length));
  return result;
}

function averagedRows(row, first, weights) {
  const rows = weights.map((_, place) => row(first + place));
  return Uint8Array.from(rows[0], (_, at) => {
    let sum = 0;
    for (let place = 0; place < weights.length; place += 1) sum += rows[place][at] * weights[place];
    return byte(sum);
  });
}

function averagedColumns(row, stride, channels, across) {
  const result = new Uint8Array(across.length * channels);
  let at = 0;
  for (const { first, weights } of across) {
    for (let channel = 0; channel < channels; channel += 1) {
      let sum = 0;
      let from = first * stride + channel;
      for (const weight of weights) {
        sum += row[from] * weight;
        from += stride;
      }
      result[at] = byte(sum);
      at += 1;
    }
  }
  return result;
}

function byte(sum) {
  return clamp((sum + 2 ** (AVERAGING_BITS - 1)) >> AVERAGING_BITS, 0, 255);
}

/** A function of rows that computes each row once; rows are asked for from top to bottom. */
function remembered(compute) {
  const rows = new Map();
  return (y) => {
    if (!rows.has(y)) rows.set(y, compute(y));
    return rows.get(y);
  };
}
