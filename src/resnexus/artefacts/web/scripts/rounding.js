// Rounding as Python and NumPy do it.

/** The nearest whole number; of two, the even one. */
export function roundHalfEven(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** The nearest number from `least` to `most`. */
export function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
