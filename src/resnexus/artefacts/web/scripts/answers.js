// From logits to what a person reads.

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

/** Answers as lines of JSON, in the record that PaddleClas prints, with `error` for a picture without an answer. */
export function asJsonLines(entries, classes) {
  const lines = entries.map(({ filename, answers, error }) =>
    JSON.stringify({
      filename,
      class_ids: answers.map(({ index }) => index),
      scores: answers.map(({ share }) => share),
      label_names: answers.map(({ index }) => classes[index]),
      error,
    }),
  );
  return `${lines.join("\n")}\n`;
}
