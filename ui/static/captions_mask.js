// Painting a mask: which part of a picture counts in training. White counts, black does not; on the picture, what does not
// count is tinted. The mask lies on the picture as its file has it; turning and cutting are only shown.
const TINT = [214, 30, 60];
const NUM_STEPS_BACK = 100;
const BYTES_BACK = 2 ** 28;
const MASK_TOOLS = ["brush", "eraser", "fill", "rectangle", "pick"];
const TOOL_KEYS = { b: "brush", e: "eraser", f: "fill", r: "rectangle", p: "pick" };

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

const alikeColour = (colours, at, [red, green, blue], tolerance) => Math.abs(colours[at] - red) <= tolerance && Math.abs(colours[at + 1] - green) <= tolerance && Math.abs(colours[at + 2] - blue) <= tolerance;

// Everything that hangs together with a point and has its colour, line by line.
function flood(mask, colours, [across, down], [x, y], tolerance, value) {
  const colour = colours.subarray((y * across + x) * 4, (y * across + x) * 4 + 3);
  const seen = new Uint8Array(across * down);
  const box = [x, y, x + 1, y + 1];
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
    [box[0], box[1], box[2], box[3]] = [Math.min(box[0], left), Math.min(box[1], row), Math.max(box[2], right + 1), Math.max(box[3], row + 1)];
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

// What is opaque of a picture with transparency, else how light it is: one value for each pixel.
function maskOf(image, [across, down]) {
  const canvas = Object.assign(document.createElement("canvas"), { width: across, height: down });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, across, down);
  const { data } = pen.getImageData(0, 0, across, down);
  const found = new Uint8Array(across * down);
  let isTransparent = false;
  for (let at = 3; at < data.length && !isTransparent; at += 4) isTransparent = data[at] < 250;
  for (let at = 0; at < found.length; at += 1) found[at] = isTransparent ? data[at * 4 + 3] : Math.round(0.299 * data[at * 4] + 0.587 * data[at * 4 + 1] + 0.114 * data[at * 4 + 2]);
  return found;
}

// A mask with its steps: what changes, is remembered as the part of the mask that differs.
class MaskSheet {
  constructor(size, mask) {
    this.size = size;
    this.mask = mask;
    this.done = [];
    this.undone = [];
    this.savedAt = 0;
    this.before = null;
  }
  get isChanged() { return this.savedAt !== this.done.length; }
  begin() { this.before = this.mask.slice(); this.box = [Infinity, Infinity, 0, 0]; }
  touch([left, top, right, bottom]) { const { box } = this; this.box = [Math.min(box[0], left), Math.min(box[1], top), Math.max(box[2], right), Math.max(box[3], bottom)]; }
  // Takes back what goes on, as if it had not begun.
  drop() { if (this.before) this.mask.set(this.before); this.before = null; }
  part(from, [left, top, right, bottom]) {
    const width = Math.max(0, right - left);
    const found = new Uint8Array(width * Math.max(0, bottom - top));
    for (let row = top; row < bottom; row += 1) found.set(from.subarray(row * this.size[0] + left, row * this.size[0] + right), (row - top) * width);
    return found;
  }
  end() {
    if (!this.before) return;
    const { box, before } = this;
    this.before = null;
    if (box[2] <= box[0] || box[3] <= box[1]) return;
    const [old, now] = [this.part(before, box), this.part(this.mask, box)];
    if (old.every((value, at) => value === now[at])) return;
    if (this.savedAt > this.done.length) this.savedAt = -1;
    this.done.push({ box, before: old, after: now });
    this.undone = [];
    let bytes = 0;
    for (const step of this.done) bytes += 2 * step.before.length;
    while (this.done.length > NUM_STEPS_BACK || (this.done.length > 1 && bytes > BYTES_BACK)) {
      bytes -= 2 * this.done.shift().before.length;
      this.savedAt -= 1;
    }
  }
  put({ box: [left, top, right, bottom] }, values) {
    for (let row = top; row < bottom; row += 1) this.mask.set(values.subarray((row - top) * (right - left), (row - top + 1) * (right - left)), row * this.size[0] + left);
  }
  undo() { const step = this.done.pop(); if (step) { this.put(step, step.before); this.undone.push(step); } return step?.box ?? null; }
  redo() { const step = this.undone.pop(); if (step) { this.put(step, step.after); this.done.push(step); } return step?.box ?? null; }
  change(change) { this.begin(); change(this.mask); this.touch([0, 0, ...this.size]); this.end(); }
}

// The canvas: the picture with the mask over it, zoomed and moved; where a pointer is on the picture.
class MaskView {
  constructor(canvas, picture, facts) {
    Object.assign(this, { canvas, picture, facts, size: [picture.naturalWidth, picture.naturalHeight], zoom: 0, pan: [0, 0], isBare: false, cursor: null, rectangle: null, radius: 0 });
    this.tint = Object.assign(document.createElement("canvas"), { width: this.size[0], height: this.size[1] });
  }
  get turnedSize() { return this.facts.rotate % 180 ? [this.size[1], this.size[0]] : this.size; }
  get base() { const [wide, high] = this.turnedSize; return Math.min((this.canvas.clientWidth - 20) / wide, (this.canvas.clientHeight - 20) / high); }
  get scale() { return this.zoom || this.base; }
  centre() { return new DOMMatrix().translate(this.canvas.clientWidth / 2 + this.pan[0], this.canvas.clientHeight / 2 + this.pan[1]).scale(this.scale); }
  matrix() { return this.centre().rotate(this.facts.rotate).translate(-this.size[0] / 2, -this.size[1] / 2); }
  toPicture([x, y]) { const found = this.matrix().inverse().transformPoint(new DOMPoint(x, y)); return [found.x, found.y]; }
  toView([x, y]) { const found = this.matrix().transformPoint(new DOMPoint(x, y)); return [found.x, found.y]; }
  zoomBy(factor, at = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]) {
    const point = this.toPicture(at);
    this.zoom = limited(this.scale * factor, this.base / 2, 32);
    const now = this.toView(point);
    this.pan = [this.pan[0] + at[0] - now[0], this.pan[1] + at[1] - now[1]];
    this.draw();
  }
  fit() { this.zoom = 0; this.pan = [0, 0]; this.draw(); }
  // The keyboard's cursor is kept in sight.
  follow() {
    const [x, y] = this.toView(this.cursor);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.pan = [this.pan[0] + limited(x, 20, width - 20) - x, this.pan[1] + limited(y, 20, height - 20) - y];
  }
  paint(mask, box = [0, 0, ...this.size]) {
    const [left, top, right, bottom] = [Math.max(0, box[0]), Math.max(0, box[1]), Math.min(this.size[0], box[2]), Math.min(this.size[1], box[3])];
    if (right <= left || bottom <= top) return;
    const part = new ImageData(right - left, bottom - top);
    const [red, green, blue] = this.isBare ? [0, 0, 0] : TINT;
    for (let row = top, to = 0; row < bottom; row += 1) for (let column = left; column < right; column += 1, to += 4) {
      part.data[to] = red;
      part.data[to + 1] = green;
      part.data[to + 2] = blue;
      part.data[to + 3] = 255 - mask[row * this.size[0] + column];
    }
    this.tint.getContext("2d").putImageData(part, left, top);
    this.draw();
  }
  draw() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => { this.isDrawing = false; this.drawNow(); });
  }
  drawNow() {
    const { canvas } = this;
    const dense = Math.min(2, devicePixelRatio);
    if (canvas.width !== Math.round(canvas.clientWidth * dense) || canvas.height !== Math.round(canvas.clientHeight * dense)) [canvas.width, canvas.height] = [Math.round(canvas.clientWidth * dense), Math.round(canvas.clientHeight * dense)];
    const pen = canvas.getContext("2d");
    const use = (matrix) => pen.setTransform(new DOMMatrix().scale(dense).multiply(matrix));
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    use(this.matrix());
    pen.imageSmoothingEnabled = this.scale < 4;
    pen.fillStyle = "#fff";
    if (this.isBare) pen.fillRect(0, 0, ...this.size);
    else pen.drawImage(this.picture, 0, 0, ...this.size);
    pen.globalAlpha = this.isBare ? 1 : 0.6;
    pen.drawImage(this.tint, 0, 0);
    pen.globalAlpha = 1;
    use(new DOMMatrix());
    this.drawCut(pen, use);
    use(new DOMMatrix());
    if (this.rectangle) this.outline(pen, () => { const [a, b] = this.rectangle.map((point) => this.toView(point)); pen.rect(Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])); });
    if (this.cursor) this.outline(pen, () => { const [x, y] = this.toView(this.cursor); if (this.radius) pen.arc(x, y, Math.max(2, this.radius * this.scale), 0, 7); else { pen.moveTo(x - 8, y); pen.lineTo(x + 8, y); pen.moveTo(x, y - 8); pen.lineTo(x, y + 8); } });
  }
  // The recorded cut, as a dashed line.
  drawCut(pen, use) {
    const { crop } = this.facts;
    if (!crop) return;
    const [wide, high] = this.turnedSize;
    const share = wide / (this.facts.rotate % 180 ? this.facts.size[1] : this.facts.size[0]);
    use(this.centre().translate(-wide / 2, -high / 2));
    pen.setLineDash([6 / this.scale, 4 / this.scale]);
    this.outline(pen, () => pen.rect(...crop.map((value) => value * share)), 1 / this.scale);
    pen.setLineDash([]);
  }
  outline(pen, shape, width = 1) {
    for (const [colour, thick] of [["rgb(0 0 0 / 75%)", 3], ["#fff", 1.2]]) {
      pen.beginPath();
      shape();
      pen.strokeStyle = colour;
      pen.lineWidth = thick * width;
      pen.stroke();
    }
  }
}

const loaded = (source) => new Promise((done) => { const image = new Image(); image.onload = () => done(image); image.onerror = () => done(null); image.src = source; });

// Opens the editor for the picture beside the grid.
async function openMask() {
  const row = await shownRow();
  if (!row || hasDialog()) return;
  await save();
  const facts = await ask("picture_facts", { row: row.id });
  if (!facts || facts.error) return;
  const [picture, old] = await Promise.all([loaded(originalAddress(row, facts)), facts.mask ? loaded(`../captions/masks/${state.info.key}/${row.id}?original=1&v=${facts.mask}`) : null]);
  if (!picture || hasDialog()) { if (!picture) say(words("picture_unreadable"), "error"); return; }
  const size = [picture.naturalWidth, picture.naturalHeight];
  const canvas = el("canvas", { class: "mask-canvas", id: "captions-mask-canvas", tabindex: "0", role: "application", "aria-label": words("mask.canvas"), "aria-describedby": "captions-mask-keys" });
  maskDialog(row, facts, new MaskView(canvas, picture, facts), new MaskSheet(size, old ? maskOf(old, size) : new Uint8Array(size[0] * size[1]).fill(255)));
}

function maskDialog(row, facts, view, sheet) {
  const { canvas, size } = view;
  const subject = { row, info: state.info };
  const brush = { tool: "brush", value: 0, size: Math.max(4, Math.round(Math.max(...size) / 16)), hardness: 0.8, tolerance: 24 };
  const pixels = (() => {
    const sheetOfPicture = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] }).getContext("2d", { willReadFrequently: true });
    sheetOfPicture.drawImage(view.picture, 0, 0);
    return sheetOfPicture.getImageData(0, 0, ...size).data;
  })();
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });
  const fail = (text) => { failed.hidden = !text; failed.textContent = text ?? ""; if (text) failed.scrollIntoView({ block: "nearest" }); };
  const inside = ([x, y]) => x >= 0 && y >= 0 && x < size[0] && y < size[1];
  const pixel = ([x, y]) => [limited(Math.floor(x), 0, size[0] - 1), limited(Math.floor(y), 0, size[1] - 1)];
  const paintValue = () => ((brush.tool === "eraser") !== (brush.value === 255) ? 255 : 0);
  const shown = (box) => { if (box) view.paint(sheet.mask, box); tell(); };

  // Strokes: dabs along the way of the pointer or of the keyboard's cursor.
  let last = null;
  const stroke = (point) => {
    const [from, radius] = [last ?? point, brush.size / 2];
    const num = Math.max(1, Math.ceil(Math.hypot(point[0] - from[0], point[1] - from[1]) / Math.max(1, radius / 3)));
    let box = [Infinity, Infinity, 0, 0];
    for (let step = last ? 1 : num; step <= num; step += 1) {
      const [left, top, right, bottom] = dab(sheet.mask, size, [from[0] + ((point[0] - from[0]) * step) / num, from[1] + ((point[1] - from[1]) * step) / num], radius, brush.hardness, paintValue());
      box = [Math.min(box[0], left), Math.min(box[1], top), Math.max(box[2], right), Math.max(box[3], bottom)];
    }
    last = point;
    sheet.touch(box);
    view.paint(sheet.mask, box);
  };
  const isPainting = () => last !== null;
  let began = 0;
  const begin = (point) => { fail(""); began = performance.now(); sheet.begin(); stroke(point); };
  const end = () => { if (!isPainting()) return; last = null; sheet.end(); tell(); };
  const pour = (point) => {
    if (!inside(point)) return;
    sheet.begin();
    sheet.touch(flood(sheet.mask, pixels, size, pixel(point), brush.tolerance, brush.value));
    sheet.end();
    shown([0, 0, ...size]);
  };
  const fillRectangle = ([a, b]) => {
    const [left, right] = [a[0], b[0]].sort((one, other) => one - other).map((value, at) => limited(at ? Math.ceil(value) : Math.floor(value), 0, size[0]));
    const [top, bottom] = [a[1], b[1]].sort((one, other) => one - other).map((value, at) => limited(at ? Math.ceil(value) : Math.floor(value), 0, size[1]));
    sheet.begin();
    for (let y = top; y < bottom; y += 1) sheet.mask.fill(brush.value, y * size[0] + left, y * size[0] + right);
    sheet.touch([left, top, right, bottom]);
    sheet.end();
    shown([left, top, right, bottom]);
  };
  const pick = (point) => {
    const [x, y] = pixel(point);
    hex.value = colour.value = "#" + [0, 1, 2].map((at) => pixels[(y * size[0] + x) * 4 + at].toString(16).padStart(2, "0")).join("");
  };
  const byColour = () => {
    const wanted = colourOf(hex.value);
    hex.setAttribute("aria-invalid", String(!wanted));
    if (!wanted) return fail(words("mask.colour.wrong"));
    fail("");
    sheet.change((mask) => { for (let at = 0; at < mask.length; at += 1) if (alikeColour(pixels, at * 4, wanted, brush.tolerance)) mask[at] = brush.value; });
    return shown([0, 0, ...size]);
  };
  const everything = (value) => { sheet.change((mask) => mask.fill(value)); shown([0, 0, ...size]); };
  const invert = () => { sheet.change((mask) => mask.forEach((value, at) => (mask[at] = 255 - value))); shown([0, 0, ...size]); };
  const back = () => { end(); shown(sheet.undo()); };
  const forth = () => { end(); shown(sheet.redo()); };

  // The pointer: the first button paints, the others move the sheet, the wheel zooms; two fingers do both.
  const where = (event) => { const edge = canvas.getBoundingClientRect(); return [event.clientX - edge.left, event.clientY - edge.top]; };
  const fingers = new Map();
  let moving = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, where(event));
    // The first of two fingers was not meant to paint.
    if (fingers.size > 1 && isPainting() && performance.now() - began < 400) { last = null; sheet.drop(); view.paint(sheet.mask); }
    if (fingers.size > 1 || event.button) { end(); view.rectangle = null; moving = where(event); return; }
    const point = view.toPicture(where(event));
    view.cursor = point;
    if (brush.tool === "fill") pour(point);
    else if (brush.tool === "pick") pick(point);
    else if (brush.tool === "rectangle") { view.rectangle = [point, point]; view.draw(); }
    else begin(point);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = where(event);
    if (fingers.size > 1 && fingers.has(event.pointerId)) pinch(event.pointerId, now);
    else if (moving && fingers.has(event.pointerId)) { view.pan = [view.pan[0] + now[0] - moving[0], view.pan[1] + now[1] - moving[1]]; moving = now; }
    else if (isPainting() && fingers.has(event.pointerId)) for (const each of event.getCoalescedEvents?.() ?? [event]) stroke(view.toPicture(where(each)));
    else if (view.rectangle && fingers.has(event.pointerId)) view.rectangle = [view.rectangle[0], view.toPicture(now)];
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, now);
    view.cursor = view.toPicture(now);
    view.draw();
  });
  const pinch = (id, now) => {
    const [other] = [...fingers].filter(([key]) => key !== id).map(([, place]) => place);
    const old = fingers.get(id);
    const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [was, is] = [middle([old, other]), middle([now, other])];
    view.pan = [view.pan[0] + is[0] - was[0], view.pan[1] + is[1] - was[1]];
    view.zoomBy(Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(old[0] - other[0], old[1] - other[1])), is);
  };
  const lift = (event) => {
    fingers.delete(event.pointerId);
    if (fingers.size) return;
    moving = null;
    end();
    if (view.rectangle && event.type === "pointerup") fillRectangle(view.rectangle);
    view.rectangle = null;
    view.draw();
  };
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, lift);
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); view.zoomBy(Math.exp(-event.deltaY / 400), where(event)); }, { passive: false });

  // The keyboard: arrows move a cursor, the space bar is the button.
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = (event) => {
    const far = (event.ctrlKey || event.metaKey ? 1 : Math.max(2, brush.size / 2) * (event.shiftKey ? 4 : 1)) * view.scale;
    const [x, y] = view.toView(view.cursor ?? [size[0] / 2, size[1] / 2]);
    const point = view.toPicture([x + arrow[event.key][0] * far, y + arrow[event.key][1] * far]);
    view.cursor = [limited(point[0], 0, size[0]), limited(point[1], 0, size[1])];
    view.follow();
    if (isPainting()) stroke(view.cursor);
    else if (view.rectangle) view.rectangle = [view.rectangle[0], view.cursor];
    view.draw();
  };
  const press = (event) => {
    view.cursor ??= [size[0] / 2, size[1] / 2];
    if (event.repeat) return;
    if (brush.tool === "fill") pour(view.cursor);
    else if (brush.tool === "pick") pick(view.cursor);
    else if (brush.tool !== "rectangle") begin(view.cursor);
    else if (view.rectangle) { fillRectangle(view.rectangle); view.rectangle = null; } else view.rectangle = [view.cursor, view.cursor];
    view.draw();
  };
  canvas.addEventListener("keyup", (event) => event.key === " " && end());
  canvas.addEventListener("blur", end);
  const grow = (factor) => set("size", limited(Math.round(brush.size * factor) + (factor > 1 ? 1 : -1), 1, Math.max(...size)));
  const keys = {
    "[": () => grow(1 / 1.15), "]": () => grow(1.15), "{": () => set("hardness", limited(brush.hardness - 0.1, 0, 1)), "}": () => set("hardness", limited(brush.hardness + 0.1, 0, 1)),
    x: () => setValue(255 - brush.value), i: invert, v: () => bare(!view.isBare), "+": () => view.zoomBy(1.25), "=": () => view.zoomBy(1.25), "-": () => view.zoomBy(0.8), 0: () => view.fit(),
  };
  const keyed = (event) => {
    const command = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
    const key = keyOf(event);
    const isText = event.target.closest("input:not([type=range]):not([type=checkbox]), select");
    if (command && key === "z") { if (event.shiftKey) forth(); else back(); }
    else if (command && key === "y") forth();
    else if (command && (key === "s" || key === "Enter")) store();
    else if (event.key === "Escape") { if (view.rectangle) { view.rectangle = null; view.draw(); } else leave(); }
    else if (isText) return;
    else if (event.target === canvas && arrow[event.key]) step(event);
    else if (event.target === canvas && event.key === " ") press(event);
    else if (event.key === "Enter" && !event.target.closest("button, label")) store();
    else if (!command && TOOL_KEYS[key]) setTool(TOOL_KEYS[key]);
    else if (!command && keys[key]) keys[key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  // What stands beside the canvas.
  const setTool = (name) => { end(); view.rectangle = null; brush.tool = name; tell(); canvas.focus(); };
  const setValue = (value) => { brush.value = value; tell(); };
  const set = (name, value) => { brush[name] = value; tell(); };
  const bare = (isBare) => { view.isBare = isBare; view.paint(sheet.mask); tell(); };
  const tools = el("div", { class: "mask-tools", role: "group", "aria-label": words("mask.tools") }, ...MASK_TOOLS.map((name) => button(words("mask." + name), () => setTool(name), { "data-mask-tool": name, title: Object.keys(TOOL_KEYS).find((key) => TOOL_KEYS[key] === name).toUpperCase() })));
  const values = el("div", { class: "mask-values", role: "group", "aria-label": words("mask.paints") }, ...[[0, "mask.out"], [255, "mask.in"]].map(([value, name]) => button("", () => { setValue(value); canvas.focus(); }, { "data-value": value })));
  for (const node of values.children) node.append(el("i", { class: node.dataset.value === "0" ? "swatch is-out" : "swatch" }), words(node.dataset.value === "0" ? "mask.out" : "mask.in"));
  const slider = (name, label, low, high, toValue, fromValue) => {
    const input = el("input", { type: "range", id: "captions-mask-" + name, min: low, max: high, step: 1, oninput: () => set(name, toValue(Number(input.value))) });
    const output = el("output", { for: input.id });
    return { node: el("label", { class: "mask-slider", "data-for": name }, el("span", {}, label, " ", output), input), show: () => { input.value = fromValue(brush[name]); output.textContent = name === "hardness" ? `${input.value}\u202f%` : name === "size" ? `${brush[name]} px` : `${brush[name]}`; } };
  };
  const sliders = [
    // The brush is a few pixels or half a picture wide: the slider goes by its square.
    slider("size", words("mask.size"), 1, 100, (value) => Math.max(1, Math.round((value / 100) ** 2 * Math.max(...size))), (value) => Math.round(100 * Math.sqrt(value / Math.max(...size)))),
    slider("hardness", words("mask.hardness"), 0, 100, (value) => value / 100, (value) => Math.round(value * 100)),
    slider("tolerance", words("mask.tolerance"), 0, 128, (value) => value, (value) => value),
  ];
  const hex = el("input", { type: "text", id: "captions-mask-hex", class: "data-search", value: "#ffffff", maxlength: 7, spellcheck: "false", autocomplete: "off", "aria-label": words("mask.colour"), oninput: () => { if (colourOf(hex.value)?.length && /^#[0-9a-f]{6}$/i.test(hex.value)) colour.value = hex.value; }, onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); event.stopPropagation(); byColour(); } } });
  const colour = el("input", { type: "color", value: "#ffffff", "aria-label": words("mask.colour"), oninput: () => (hex.value = colour.value) });
  const file = el("input", { type: "file", accept: "image/*", hidden: true, id: "captions-mask-file", onchange: () => file.files[0] && takeIn(file.files[0]).finally(() => (file.value = "")) });
  const takeIn = async (chosen) => {
    const image = await createImageBitmap(chosen).catch(() => null);
    if (!image) return fail(words("mask.import.unreadable", { name: chosen.name }));
    const [wide, high] = facts.size;
    if (Math.abs(image.width / image.height / (wide / high) - 1) > 0.02) return fail(words("mask.import.shape", { name: chosen.name, width: image.width, height: image.height, wide, high }));
    fail("");
    const taken = maskOf(image, size);
    sheet.change((mask) => mask.set(taken));
    return shown([0, 0, ...size]);
  };

  const undoing = iconButton("\u21b6", words("undo") + " (Ctrl+Z)", back, { "data-tool": "mask-undo" });
  const redoing = iconButton("\u21b7", words("redo") + " (Ctrl+Y)", forth, { "data-tool": "mask-redo" });
  const looks = button(words("mask.bare"), () => bare(!view.isBare), { "data-tool": "bare", title: "V" });
  const share = el("p", { class: "crop-size", role: "status", "data-part": "mask-share" });
  const tell = () => {
    for (const node of tools.children) node.setAttribute("aria-pressed", String(node.dataset.maskTool === brush.tool));
    for (const node of values.children) node.setAttribute("aria-pressed", String(Number(node.dataset.value) === brush.value));
    const isBrush = brush.tool === "brush" || brush.tool === "eraser";
    for (const { node, show } of sliders) { show(); node.classList.toggle("is-idle", (node.dataset.for === "tolerance") === isBrush); }
    view.radius = isBrush ? brush.size / 2 : 0;
    undoing.disabled = !sheet.done.length;
    redoing.disabled = !sheet.undone.length;
    looks.setAttribute("aria-pressed", String(view.isBare));
    let sum = 0;
    for (const value of sheet.mask) sum += value;
    const counted = sum / (255 * sheet.mask.length);
    share.textContent = counted === 1 ? words("mask.share.all") : words("mask.share", { share: Math.round(counted * 1000) / 10 });
    saving.disabled = !sheet.isChanged;
    view.draw();
  };

  let isStoring = false;
  const store = async () => {
    if (isStoring) return;
    end();
    if (!sheet.isChanged) { close(); return; }
    isStoring = true;
    const answer = await askOf(subject, "save_mask", { png: sheet.mask.every((value) => value === 255) ? null : await pngOf(sheet) });
    isStoring = false;
    fail(answer?.error ?? (answer ? "" : words("unreachable.short")));
    if (!answer || answer.error) return;
    close();
    await pictured(answer, { quietly: true });
  };
  const close = () => { watcher.disconnect(); dialog.close(); dialog.remove(); part("grid").focus({ preventScroll: true }); };
  // What was painted is not lost by a slip: the second time it is.
  const leave = () => {
    end();
    if (!sheet.isChanged || !asking.hidden) return close();
    asking.hidden = false;
    return asking.querySelector("button").focus();
  };
  const asking = el("div", { class: "tool-asking", role: "alert", hidden: true }, el("span", {}, words("mask.unsaved")), button(words("mask.save"), () => store(), { class: "main-button", "data-tool": "asked-save" }), button(words("mask.discard"), () => close(), { "data-tool": "asked-discard" }), button(words("mask.stay"), () => { asking.hidden = true; canvas.focus(); }, { "data-tool": "asked-stay" }));
  const saving = button(words("mask.save"), () => store(), { class: "main-button", id: "captions-mask-save" });
  const use = el("p", { class: "mask-use" }, facts.masks.text, " ", facts.masks.can_use ? button(words("mask.use"), async (event) => { const answer = await askOf(subject, "use_masks"); if (answer?.text) { use.firstChild.textContent = answer.text; use.lastChild.remove(); canvas.focus(); } else event.target.disabled = false; }, { "data-tool": "use-masks" }) : null);

  const dialog = el("dialog", { class: "athanor-dialog tool-dialog mask-dialog", "aria-label": words("mask"), onkeydown: keyed },
    el("header", {}, el("strong", {}, words("mask")), el("span", { class: "tool-name" }, row.name), el("span", { class: "spacer" }), looks, undoing, redoing),
    el("div", { class: "tool-body" }, el("div", { class: "tool-stage" }, canvas, asking),
      el("div", { class: "tool-side" }, share, tools, el("h5", {}, words("mask.paints")), values, ...sliders.map(({ node }) => node),
        el("h5", {}, words("mask.colour")), el("div", { class: "crop-row" }, colour, hex, button(words("mask.colour.apply"), byColour, { "data-tool": "by-colour" })),
        el("h5", {}, words("mask.whole")), el("div", { class: "crop-row" }, button(words("mask.all_in"), () => everything(255), { "data-tool": "all-in" }), button(words("mask.all_out"), () => everything(0), { "data-tool": "all-out" }), button(words("mask.invert"), invert, { "data-tool": "invert", title: "I" }),
          button(words("mask.import"), () => file.click(), { "data-tool": "import" }), file, button(words("background"), () => { close(); openBackground(); }, { "data-tool": "mask-background" })),
        use, el("p", { class: "quiet", id: "captions-mask-keys" }, words("mask.keys")), failed)),
    el("div", { class: "dialog-foot" }, el("span", { class: "quiet" }, words("mask.help")), button(words("cancel"), () => leave(), { "data-tool": "cancel" }), saving));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
  dialog.addEventListener("dragover", (event) => event.preventDefault());
  dialog.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) takeIn(event.dataTransfer.files[0]); });
  const watcher = new ResizeObserver(() => view.draw());
  root.append(dialog);
  dialog.showModal();
  watcher.observe(canvas);
  view.paint(sheet.mask);
  tell();
  canvas.focus();
}

// The mask as a grey PNG in base64.
async function pngOf({ mask, size }) {
  const canvas = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
  const image = new ImageData(...size);
  for (let at = 0; at < mask.length; at += 1) image.data.set([mask[at], mask[at], mask[at], 255], at * 4);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
