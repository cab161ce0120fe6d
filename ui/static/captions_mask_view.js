// The canvas of the mask editor: the picture with the mask over it, zoomed and moved; where a pointer is on the picture.
// Points of the picture are pixels of its file, points of the view are those of the canvas.
const TINT = [214, 30, 60];
const MARGIN = 20;

// `zoom` 0 fits the picture in; `rectangle` is what goes up, `cursor` where the pointer or the keyboard is.
function newView(canvas, picture, facts) {
  const size = [picture.naturalWidth, picture.naturalHeight];
  return { canvas, picture, facts, size, tint: blankCanvas(size), zoom: 0, pan: [0, 0], isBare: false, cursor: null, rectangle: null, radius: 0, isDrawing: false };
}

const turnedSize = ({ facts, size }) => (facts.rotate % 180 ? [size[1], size[0]] : size);
const middleOf = ({ canvas }) => [canvas.clientWidth / 2, canvas.clientHeight / 2];

function fittingScale(view) {
  const [wide, high] = turnedSize(view);
  return Math.min((view.canvas.clientWidth - MARGIN) / wide, (view.canvas.clientHeight - MARGIN) / high);
}

const scaleOf = (view) => view.zoom || fittingScale(view);

// From the turned picture's middle to the view.
function centred(view) {
  const [x, y] = middleOf(view);
  return new DOMMatrix().translate(x + view.pan[0], y + view.pan[1]).scale(scaleOf(view));
}

const placed = (view) => centred(view).rotate(view.facts.rotate).translate(-view.size[0] / 2, -view.size[1] / 2);

function throughMatrix(matrix, [x, y]) {
  const point = matrix.transformPoint(new DOMPoint(x, y));
  return [point.x, point.y];
}

const toPicture = (view, point) => throughMatrix(placed(view).inverse(), point);
const toView = (view, point) => throughMatrix(placed(view), point);

function panBy(view, [dx, dy]) {
  view.pan = [view.pan[0] + dx, view.pan[1] + dy];
}

// What is at a point of the view stays there.
function zoomBy(view, factor, at = middleOf(view)) {
  const point = toPicture(view, at);
  view.zoom = limited(scaleOf(view) * factor, fittingScale(view) / 2, 32);
  const now = toView(view, point);
  panBy(view, [at[0] - now[0], at[1] - now[1]]);
  drawView(view);
}

function fitView(view) {
  Object.assign(view, { zoom: 0, pan: [0, 0] });
  drawView(view);
}

// The keyboard's cursor is kept in sight.
function followCursor(view) {
  const [x, y] = toView(view, view.cursor);
  const { clientWidth: width, clientHeight: height } = view.canvas;
  panBy(view, [limited(x, MARGIN, width - MARGIN) - x, limited(y, MARGIN, height - MARGIN) - y]);
}

// Takes a part of the mask over into the tint.
function paintTint(view, mask, box = [0, 0, ...view.size]) {
  const [across, down] = view.size;
  const [left, top, right, bottom] = [Math.max(0, box[0]), Math.max(0, box[1]), Math.min(across, box[2]), Math.min(down, box[3])];
  if (right <= left || bottom <= top) return;
  const part = new ImageData(right - left, bottom - top);
  const [red, green, blue] = view.isBare ? [0, 0, 0] : TINT;
  for (let row = top, to = 0; row < bottom; row += 1) for (let column = left; column < right; column += 1, to += 4) {
    part.data[to] = red;
    part.data[to + 1] = green;
    part.data[to + 2] = blue;
    part.data[to + 3] = 255 - mask[row * across + column];
  }
  view.tint.getContext("2d").putImageData(part, left, top);
  drawView(view);
}

// Draws once for all that has changed until the next frame.
function drawView(view) {
  if (view.isDrawing) return;
  view.isDrawing = true;
  requestAnimationFrame(() => { view.isDrawing = false; drawNow(view); });
}

function drawNow(view) {
  const { canvas } = view;
  const dense = Math.min(2, devicePixelRatio);
  const [width, height] = [Math.round(canvas.clientWidth * dense), Math.round(canvas.clientHeight * dense)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  const use = (matrix) => pen.setTransform(new DOMMatrix().scale(dense).multiply(matrix));
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  use(placed(view));
  drawTinted(view, pen);
  const [wide, high] = turnedSize(view);
  use(centred(view).translate(-wide / 2, -high / 2));
  if (view.facts.crop) drawRecordedCut(view, pen);
  use(new DOMMatrix());
  if (view.rectangle) drawOutline(pen, () => rectanglePath(view, pen));
  if (view.cursor) drawOutline(pen, () => cursorPath(view, pen));
}

function drawTinted(view, pen) {
  pen.imageSmoothingEnabled = scaleOf(view) < 4;
  pen.fillStyle = "#fff";
  if (view.isBare) pen.fillRect(0, 0, ...view.size);
  else pen.drawImage(view.picture, 0, 0, ...view.size);
  pen.globalAlpha = view.isBare ? 1 : 0.6;
  pen.drawImage(view.tint, 0, 0);
  pen.globalAlpha = 1;
}

// The cut is in pixels of the file, the picture here may be smaller.
function drawRecordedCut(view, pen) {
  const { crop, rotate, size } = view.facts;
  const [share, scale] = [turnedSize(view)[0] / size[rotate % 180 ? 1 : 0], scaleOf(view)];
  pen.setLineDash([6 / scale, 4 / scale]);
  drawOutline(pen, () => pen.rect(...crop.map((value) => value * share)), 1 / scale);
  pen.setLineDash([]);
}

function rectanglePath(view, pen) {
  const [a, b] = view.rectangle.map((point) => toView(view, point));
  pen.rect(Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]));
}

// The brush as a circle, other tools as a cross.
function cursorPath(view, pen) {
  const [x, y] = toView(view, view.cursor);
  if (view.radius) return pen.arc(x, y, Math.max(2, view.radius * scaleOf(view)), 0, 7);
  pen.moveTo(x - 8, y);
  pen.lineTo(x + 8, y);
  pen.moveTo(x, y - 8);
  return pen.lineTo(x, y + 8);
}

// White on black is seen on every picture.
function drawOutline(pen, path, width = 1) {
  for (const [colour, thick] of [["rgb(0 0 0 / 75%)", 3], ["#fff", 1.2]]) {
    pen.beginPath();
    path();
    pen.strokeStyle = colour;
    pen.lineWidth = thick * width;
    pen.stroke();
  }
}
