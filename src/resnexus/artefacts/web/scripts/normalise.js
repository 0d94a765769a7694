// From bytes to what a network takes, to the last bit of float32.

/**
 * (size, size, channels) bytes as (channels, size, size) float32: (byte / 255 - mean) / std.
 *
 * `mean` and `std` have a number for every channel.
 */
export function normalised(bytes, { mean, std }) {
  const channels = mean.length;
  const area = bytes.length / channels;
  const result = new Float32Array(bytes.length);
  for (let channel = 0; channel < channels; channel += 1) {
    const values = table(Math.fround(mean[channel]), Math.fround(std[channel]));
    for (let at = 0; at < area; at += 1) result[channel * area + at] = values[bytes[at * channels + channel]];
  }
  return result;
}

/** What becomes of every byte; each step is rounded to float32. */
function table(mean, std) {
  const unit = Math.fround(1 / 255);
  return Float32Array.from({ length: 256 }, (_, byte) => Math.fround(Math.fround(byte * unit) - mean) / std);
}
