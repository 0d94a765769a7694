// From logits to what a person reads.

import { Refusal } from "./refusal.js";

/** Probabilities of logits. */
export function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Each class for itself. */
export function sigmoid(logits) {
  return Float64Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
}

/** What the classes have of an answer; throws a Refusal where that is not finite. */
export function sharesOf(logits, multiLabel) {
  if (!logits.every(Number.isFinite)) throw new Refusal("not-finite");
  return (multiLabel ? sigmoid : softmax)(logits);
}

/** The `count` most probable classes, [{index, share}], the most probable first; of equals, the one with less index. */
export function top(shares, count) {
  const order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a] || a - b);
  return order.slice(0, count).map((index) => ({ index, share: shares[index] }));
}

/** A fraction in per cent, as it is read: never 100 for less than all, nor 0 for more than nothing. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** Milliseconds as they are read. */
export function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Answers as lines of JSON, the records of `resnexus predict`: `id` counts from 0, `error` says why there is none. */
export function asJsonLines(entries, classes) {
  const lines = entries.map(({ filename, answers, error }, id) =>
    JSON.stringify({
      id,
      filename,
      class_ids: answers.map(({ index }) => index),
      scores: answers.map(({ share }) => share),
      label_names: answers.map(({ index }) => classes[index]),
      error,
    }),
  );
  return `${lines.join("\n")}\n`;
}
