// The heat map as pixels: where the picture speaks for a class.

/** From clear to a light yellow, by way of violet and orange; readable without red and green, and on dark pictures. */
const COLOURS = [
  [24, 15, 61],
  [114, 31, 129],
  [205, 64, 113],
  [253, 150, 104],
  [252, 253, 191],
];
/** The picture stays to be seen beneath the hottest place. */
const MOST_OPAQUE = 0.72;

/**
 * Colours and opacities of a map, as RGBA bytes.
 *
 * What speaks against the class is clear; the hottest place has the last colour. A map with nothing for the class is
 * clear everywhere.
 */
export function heatPixels(map) {
  const most = map.reduce((a, b) => Math.max(a, b), 0);
  const pixels = new Uint8ClampedArray(map.length * 4);
  map.forEach((value, index) => {
    const heat = most > 0 ? Math.max(value, 0) / most : 0;
    const place = heat * (COLOURS.length - 1);
    const low = Math.min(Math.floor(place), COLOURS.length - 2);
    const colour = COLOURS[low].map((from, channel) => from + (COLOURS[low + 1][channel] - from) * (place - low));
    pixels.set([...colour, 255 * MOST_OPAQUE * heat], index * 4);
  });
  return pixels;
}
