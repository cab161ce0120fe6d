// Pixels of masks: what a dab, a fill or a picture makes of them, and the steps back. A mask has one byte for each pixel:
// 255 counts in training, 0 does not. A box is [left, top, right, bottom]; the latter two are outside.
const NUM_STEPS_BACK = 100;
const BYTES_BACK = 2 ** 28;
const NO_BOX = [Infinity, Infinity, 0, 0];
const joinedBox = (one, other) => [Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.max(one[2], other[2]), Math.max(one[3], other[3])];

// One round dab. `hardness` is the share of the radius that is full; towards the rim it fades.
function dab(mask, [across, down], [x, y], radius, hardness, value) {
  const [left, right] = [Math.max(0, Math.floor(x - radius)), Math.min(across - 1, Math.ceil(x + radius))];
  const [top, bottom] = [Math.max(0, Math.floor(y - radius)), Math.min(down - 1, Math.ceil(y + radius))];
  const solid = radius * Math.min(hardness, 0.98);
  for (let row = top; row <= bottom; row += 1) {
    for (let column = left; column <= right; column += 1) {
      const far = Math.hypot(column + 0.5 - x, row + 0.5 - y);
      if (far > radius) continue;
      const share = far <= solid ? 255 : Math.round((255 * (radius - far)) / (radius - solid));
      const at = row * across + column;
      mask[at] = value ? Math.max(mask[at], share) : Math.min(mask[at], 255 - share);
    }
  }
  return [left, top, right + 1, bottom + 1];
}

const alikeColour = (colours, at, [red, green, blue], tolerance) =>
  Math.abs(colours[at] - red) <= tolerance && Math.abs(colours[at + 1] - green) <= tolerance && Math.abs(colours[at + 2] - blue) <= tolerance;

// Everything that hangs together with a point and has its colour, line by line.
function flood(mask, colours, [across, down], [x, y], tolerance, value) {
  const colour = colours.subarray((y * across + x) * 4, (y * across + x) * 4 + 3);
  const seen = new Uint8Array(across * down);
  let box = [x, y, x + 1, y + 1];
  const fits = (column, row) => !seen[row * across + column] && alikeColour(colours, (row * across + column) * 4, colour, tolerance);
  const open = [y * across + x];
  while (open.length) {
    const place = open.pop();
    const [from, row] = [place % across, Math.floor(place / across)];
    if (!fits(from, row)) continue;
    let left = from;
    let right = from;
    while (left > 0 && fits(left - 1, row)) left -= 1;
    while (right < across - 1 && fits(right + 1, row)) right += 1;
    seen.fill(1, row * across + left, row * across + right + 1);
    mask.fill(value, row * across + left, row * across + right + 1);
    box = joinedBox(box, [left, row, right + 1, row + 1]);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= down) continue;
      for (let column = left; column <= right; column += 1) if (fits(column, next) && (column === left || !fits(column - 1, next))) open.push(next * across + column);
    }
  }
  return box;
}

// "#00ff7f" or "0f8" as red, green and blue; null where it is none.
function colourOf(text) {
  const hex = text.trim().replace(/^#/, "");
  if (!/^([0-9a-f]{3}|[0-9a-f]{6})$/i.test(hex)) return null;
  const whole = hex.length === 3 ? [...hex].map((sign) => sign + sign).join("") : hex;
  return [0, 2, 4].map((at) => parseInt(whole.slice(at, at + 2), 16));
}

const blankCanvas = ([width, height]) => Object.assign(document.createElement("canvas"), { width, height });

// The pixels of a picture at a size: red, green, blue and how opaque, one byte each.
function coloursOf(image, size) {
  const pen = blankCanvas(size).getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, ...size);
  return pen.getImageData(0, 0, ...size).data;
}

// What is opaque of a picture with transparency, else how light it is.
function maskOf(image, size) {
  const colours = coloursOf(image, size);
  const mask = new Uint8Array(size[0] * size[1]);
  let isTransparent = false;
  for (let at = 3; at < colours.length && !isTransparent; at += 4) isTransparent = colours[at] < 250;
  const lightAt = (at) => Math.round(0.299 * colours[at] + 0.587 * colours[at + 1] + 0.114 * colours[at + 2]);
  for (let at = 0; at < mask.length; at += 1) mask[at] = isTransparent ? colours[at * 4 + 3] : lightAt(at * 4);
  return mask;
}

// How much of the picture counts, from 0 to 1.
function shareOf(mask) {
  let sum = 0;
  for (const value of mask) sum += value;
  return sum / (255 * mask.length);
}

// The mask as a grey PNG in base64.
async function pngOf({ mask, size }) {
  const canvas = blankCanvas(size);
  const image = new ImageData(...size);
  for (let at = 0, to = 0; at < mask.length; at += 1, to += 4) {
    image.data[to] = image.data[to + 1] = image.data[to + 2] = mask[at];
    image.data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

// The sheet one paints on: a mask with its steps, each of them kept as the part of the mask that it changed.
// `savedAt`: after how many of the steps the mask is as it was opened; below 0 where those steps are forgotten.
const newSheet = (size, mask) => ({ size, mask, done: [], undone: [], savedAt: 0, before: null, box: NO_BOX });
const isPainted = (sheet) => sheet.savedAt !== sheet.done.length;

function beginStep(sheet) {
  Object.assign(sheet, { before: sheet.mask.slice(), box: NO_BOX });
}

function touchSheet(sheet, box) {
  sheet.box = joinedBox(sheet.box, box);
}

// Takes back what goes on, as if it had not begun.
function dropStep(sheet) {
  if (sheet.before) sheet.mask.set(sheet.before);
  sheet.before = null;
}

function endStep(sheet) {
  const { before, box, mask, size } = sheet;
  sheet.before = null;
  if (!before || box[2] <= box[0] || box[3] <= box[1]) return;
  const [old, now] = [partOf(before, size, box), partOf(mask, size, box)];
  if (old.every((value, at) => value === now[at])) return;
  sheet.done.push({ box, before: old, after: now });
  sheet.undone = [];
  forgetSteps(sheet);
}

function forgetSteps(sheet) {
  let bytes = 0;
  for (const step of sheet.done) bytes += 2 * step.before.length;
  while (sheet.done.length > NUM_STEPS_BACK || (sheet.done.length > 1 && bytes > BYTES_BACK)) {
    bytes -= 2 * sheet.done.shift().before.length;
    sheet.savedAt -= 1;
  }
}

function partOf(mask, [across], [left, top, right, bottom]) {
  const width = Math.max(0, right - left);
  const part = new Uint8Array(width * Math.max(0, bottom - top));
  for (let row = top; row < bottom; row += 1) part.set(mask.subarray(row * across + left, row * across + right), (row - top) * width);
  return part;
}

function putPart({ mask, size: [across] }, [left, top, right, bottom], part) {
  const width = right - left;
  for (let row = top; row < bottom; row += 1) mask.set(part.subarray((row - top) * width, (row - top + 1) * width), row * across + left);
}

// Both return the box that has changed; null where there is no step.
function undoStep(sheet) {
  const step = sheet.done.pop();
  if (!step) return null;
  putPart(sheet, step.box, step.before);
  sheet.undone.push(step);
  return step.box;
}

function redoStep(sheet) {
  const step = sheet.undone.pop();
  if (!step) return null;
  putPart(sheet, step.box, step.after);
  sheet.done.push(step);
  return step.box;
}
