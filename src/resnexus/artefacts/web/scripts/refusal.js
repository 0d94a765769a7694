// Why a picture has no answer: the code of `resnexus predict` for programs, a sentence for people.

// What is read in Python, and by browsers not or not alike, has the code `unsupported_pixels`.
/** By the reason, [code, sentence]. */
const REASONS = {
  empty: ["empty", "The file is empty."],
  "too-large-file": ["too_large", "The file is larger than 1 GiB."],
  "not-an-image": ["unknown_format", "This is not a picture that can be read. JPEG, PNG, WebP, BMP, GIF and AVIF can."],
  tiff: ["unsupported_pixels", "Browsers do not read TIFF. Save the picture as PNG or JPEG."],
  "four-inks": [
    "unsupported_pixels",
    "This JPEG is made for print, in four inks (CMYK), and browsers change its colours. Save it as RGB.",
  ],
  turned: [
    "unsupported_pixels",
    "This WebP is to be turned before it is shown, which browsers do not do alike. Save it as it is seen.",
  ],
  damaged: ["damaged", "The file is damaged or cut short."],
  "too-large": [
    "too_large",
    "The picture has more than 89 million pixels, or a side of more than 65,535. Scale it down.",
  ],
  "too-long": ["too_large", "The picture is too long for its width. Cut it."],
  "transparent-large": [
    "unsupported_pixels",
    "The picture is transparent and too large for this browser. Scale it down.",
  ],
  "transparent-unread": [
    "unsupported_pixels",
    "The picture is transparent, and this browser does not tell the colours beneath (no WebGL).",
  ],
  "not-finite": ["not_finite", "The network's answer is not finite."],
};

/** A picture that is refused. */
export class Refusal extends Error {
  constructor(reason) {
    const [code, sentence] = REASONS[reason];
    super(sentence);
    this.code = code;
  }
}
