// What the bytes of a file say before they are decoded: of which format it is, how large, and whether all is there.

const SIGNATURES = [
  ["JPEG", [0, "\xff\xd8\xff"]],
  ["PNG", [0, "\x89PNG\r\n\x1a\n"]],
  ["GIF", [0, "GIF8"]],
  ["BMP", [0, "BM"]],
  ["WEBP", [0, "RIFF"], [8, "WEBP"]],
  ["TIFF", [0, "II*\0"]],
  ["TIFF", [0, "MM\0*"]],
];
const AVIF_BRANDS = ["avif", "avis"];
// Of a container that may hold AVIF, HEIC or something else: what it is compatible with says which.
const CONTAINER_BRANDS = ["mif1", "msf1"];

/** The format of a file, told from its first bytes and never from its name; null if it is none that is read. */
export function formatOf(bytes) {
  if (isAvif(bytes)) return "AVIF";
  const found = SIGNATURES.find(([, ...marks]) => marks.every(([place, mark]) => holds(bytes, place, mark)));
  return found ? found[0] : null;
}

/** Whether the brands of a file are those of AVIF, by the rule that Pillow and libavif have in Python. */
function isAvif(bytes) {
  if (!holds(bytes, 4, "ftyp")) return false;
  const hasOneOf = (brands, place) => brands.some((brand) => holds(bytes, place, brand));
  if (hasOneOf(AVIF_BRANDS, 8)) return true;
  if (!hasOneOf(CONTAINER_BRANDS, 8)) return false;
  const end = Math.min(number(bytes, 0, 4, false), bytes.length);
  for (let place = 16; place + 4 <= end; place += 4) {
    if (hasOneOf(AVIF_BRANDS, place)) return true;
  }
  return false;
}

/** Whether a file ends where its format says; true where the format does not say, and its decoder must find out. */
export function isWhole(bytes, format) {
  if (format === "JPEG") return isWholeJpeg(bytes);
  if (format === "PNG") return isWholePng(bytes);
  if (format === "WEBP") return bytes.length >= 8 + number(bytes, 4, 4, true);
  return true;
}

/** The sides of a picture, {width, height}, as the file states them; null for AVIF, and where it breaks off before. */
export function sizeOf(bytes, format) {
  if (format === "JPEG") return sizeOfJpeg(bytes);
  if (format === "PNG") return bytes.length < 33 ? null : sides(bytes, 16, 4, false);
  if (format === "GIF") return bytes.length < 13 ? null : sides(bytes, 6, 2, true);
  if (format === "BMP") return bytes.length < 26 ? null : sizeOfBmp(bytes);
  if (format === "WEBP") return bytes.length < 30 ? null : sizeOfWebp(bytes);
  return null;
}

/** Whether a JPEG has four inks: browsers turn them into red, green and blue by rules of their own. */
export function hasFourInks(bytes) {
  const place = frame(bytes);
  return place !== null && bytes[place + 9] === 4;
}

/** Whether the EXIF data of a WebP ask for another orientation: browsers do not heed them, or not all of them. */
export function isTurnedWebp(bytes) {
  let place = 12;
  while (place + 8 <= bytes.length) {
    const length = number(bytes, place + 4, 4, true);
    if (holds(bytes, place, "EXIF")) return orientation(bytes.subarray(place + 8, place + 8 + length)) > 1;
    place += 8 + length + (length % 2);
  }
  return false;
}

/** The orientation in EXIF data, 1 where they state none. */
function orientation(exif) {
  const data = holds(exif, 0, "Exif\0\0") ? exif.subarray(6) : exif;
  const littleEndian = holds(data, 0, "II");
  const read = (place, length) => number(data, place, length, littleEndian);
  const start = read(4, 4);
  for (let entry = 0; entry < read(start, 2); entry += 1) {
    const place = start + 2 + 12 * entry;
    if (place + 12 > data.length) break;
    if (read(place, 2) === 0x0112) return read(place + 8, 2);
  }
  return 1;
}

function sizeOfJpeg(bytes) {
  const place = frame(bytes);
  if (place === null) return null;
  return { width: number(bytes, place + 7, 2, false), height: number(bytes, place + 5, 2, false) };
}

function sizeOfBmp(bytes) {
  if (number(bytes, 14, 4, true) === 12) return sides(bytes, 18, 2, true);
  const { width, height } = sides(bytes, 18, 4, true);
  // A negative height says that the rows begin at the top.
  return { width, height: Math.min(height, 2 ** 32 - height) };
}

function sizeOfWebp(bytes) {
  if (holds(bytes, 12, "VP8X")) {
    return { width: 1 + number(bytes, 24, 3, true), height: 1 + number(bytes, 27, 3, true) };
  }
  if (holds(bytes, 12, "VP8L")) {
    const bits = number(bytes, 21, 4, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  const { width, height } = sides(bytes, 26, 2, true);
  return { width: width & 0x3fff, height: height & 0x3fff };
}

/** Two numbers after each other. */
function sides(bytes, place, length, littleEndian) {
  const [width, height] = [place, place + length].map((start) => number(bytes, start, length, littleEndian));
  return { width, height };
}

/** Where the frame of a JPEG begins, which holds its size; null if the file breaks off before its first scan. */
function frame(bytes) {
  let found = null;
  for (const { marker, place } of segments(bytes)) {
    if (marker === 0xda) return found;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) found ??= place;
  }
  return null;
}

function isWholeJpeg(bytes) {
  let last = null;
  for (const segment of segments(bytes)) last = segment;
  if (last === null || last.marker !== 0xda) return false;
  // Within a scan an FF is never followed by D9.
  for (let at = last.place; at + 1 < bytes.length; at += 1) {
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
  }
  return false;
}

/** The segments of a JPEG up to its first scan, {marker, place}. */
function* segments(bytes) {
  let place = 2;
  while (place + 3 < bytes.length && bytes[place] === 0xff) {
    const marker = bytes[place + 1];
    if (marker === 0xff) {
      place += 1;
    } else {
      yield { marker, place };
      if (marker === 0xda) return;
      place += 2 + number(bytes, place + 2, 2, false);
    }
  }
}

function isWholePng(bytes) {
  let place = 8;
  while (place + 12 <= bytes.length) {
    const end = place + 12 + number(bytes, place, 4, false);
    if (holds(bytes, place + 4, "IEND")) return end <= bytes.length;
    place = end;
  }
  return false;
}

function holds(bytes, place, mark) {
  return Array.from(mark).every((character, index) => bytes[place + index] === character.charCodeAt(0));
}

function number(bytes, place, length, littleEndian) {
  const digits = Array.from(bytes.subarray(place, place + length));
  return (littleEndian ? digits.reverse() : digits).reduce((sum, digit) => sum * 256 + digit, 0);
}
