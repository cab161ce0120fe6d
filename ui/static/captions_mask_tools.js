// What pointer and keys do in the mask editor. `editor` is all that it knows: {view, sheet, brush, ...}, see newEditor.
const MASK_TOOLS = ["brush", "eraser", "fill", "rectangle", "pick"];
const TOOL_KEYS = { b: "brush", e: "eraser", f: "fill", r: "rectangle", p: "pick" };
const MASK_ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SECOND_FINGER_WITHIN = 400;

const isBrush = ({ tool }) => tool === "brush" || tool === "eraser";
const isPainting = (editor) => editor.last !== null;
const paintValue = ({ tool, value }) => ((tool === "eraser") !== (value === 255) ? 255 : 0);
const pixelAt = ([across, down], [x, y]) => [limited(Math.floor(x), 0, across - 1), limited(Math.floor(y), 0, down - 1)];

function showChange(editor, box) {
  if (box) paintTint(editor.view, editor.sheet.mask, box);
  tellMask(editor);
}

// One step that can be undone: `change` gets the mask and returns the box it touched, all of it where it returns none.
function changeMask(editor, change) {
  const { sheet } = editor;
  beginStep(sheet);
  const box = change(sheet.mask) ?? [0, 0, ...sheet.size];
  touchSheet(sheet, box);
  endStep(sheet);
  showChange(editor, box);
}

// Strokes: dabs along the way of the pointer or of the keyboard's cursor.
function strokeTo(editor, [x, y]) {
  const { view, sheet, brush, last } = editor;
  const [from, radius] = [last ?? [x, y], brush.size / 2];
  const [dx, dy] = [x - from[0], y - from[1]];
  const num = Math.max(1, Math.ceil(Math.hypot(dx, dy) / Math.max(1, radius / 3)));
  let box = NO_BOX;
  for (let step = last ? 1 : num; step <= num; step += 1) {
    const point = [from[0] + (dx * step) / num, from[1] + (dy * step) / num];
    box = joinedBox(box, dab(sheet.mask, sheet.size, point, radius, brush.hardness, paintValue(brush)));
  }
  editor.last = [x, y];
  touchSheet(sheet, box);
  paintTint(view, sheet.mask, box);
}

function beginStroke(editor, point) {
  failMask(editor, "");
  editor.began = performance.now();
  beginStep(editor.sheet);
  strokeTo(editor, point);
}

function endStroke(editor) {
  if (!isPainting(editor)) return;
  editor.last = null;
  endStep(editor.sheet);
  tellMask(editor);
}

function dropStroke(editor) {
  editor.last = null;
  dropStep(editor.sheet);
  paintTint(editor.view, editor.sheet.mask);
}

function pour(editor, [x, y]) {
  const { sheet: { size }, colours, brush } = editor;
  if (x < 0 || y < 0 || x >= size[0] || y >= size[1]) return;
  changeMask(editor, (mask) => flood(mask, colours, size, pixelAt(size, [x, y]), brush.tolerance, brush.value));
}

function fillRectangle(editor, [a, b]) {
  const [across, down] = editor.sheet.size;
  const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])].map((value, at) => limited(at ? Math.ceil(value) : Math.floor(value), 0, across));
  const [top, bottom] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])].map((value, at) => limited(at ? Math.ceil(value) : Math.floor(value), 0, down));
  changeMask(editor, (mask) => {
    for (let y = top; y < bottom; y += 1) mask.fill(editor.brush.value, y * across + left, y * across + right);
    return [left, top, right, bottom];
  });
}

function pickColour({ sheet: { size }, colours, nodes: { hex, colour } }, point) {
  const [x, y] = pixelAt(size, point);
  const start = (y * size[0] + x) * 4;
  hex.value = colour.value = "#" + [0, 1, 2].map((at) => colours[start + at].toString(16).padStart(2, "0")).join("");
}

function fillByColour(editor) {
  const { colours, brush, nodes: { hex } } = editor;
  const wanted = colourOf(hex.value);
  hex.setAttribute("aria-invalid", String(!wanted));
  failMask(editor, wanted ? "" : words("mask.colour.wrong"));
  if (!wanted) return;
  changeMask(editor, (mask) => { for (let at = 0; at < mask.length; at += 1) if (alikeColour(colours, at * 4, wanted, brush.tolerance)) mask[at] = brush.value; });
}

const fillAll = (editor, value) => changeMask(editor, (mask) => { mask.fill(value); });
// Pixels of the picture's file; the sheet may be smaller.
function changeEdge(editor, moved) {
  const { sheet, facts, nodes: { edge } } = editor;
  const pixels = Number(edge.value);
  edge.setAttribute("aria-invalid", String(!(pixels > 0)));
  if (!(pixels > 0)) return;
  changeMask(editor, (mask) => { mask.set(moved(mask, sheet.size, Math.max(0.5, (pixels * sheet.size[0]) / facts.size[0]))); });
}
const invertMask = (editor) => changeMask(editor, (mask) => { mask.forEach((value, at) => (mask[at] = 255 - value)); });

function undoMask(editor) {
  endStroke(editor);
  showChange(editor, undoStep(editor.sheet));
}

function redoMask(editor) {
  endStroke(editor);
  showChange(editor, redoStep(editor.sheet));
}

// The pointer: the first button paints, the others move the sheet, the wheel zooms; two fingers do both.
function takePointers(editor) {
  const { canvas } = editor.view;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => pointerDown(editor, event));
  canvas.addEventListener("pointermove", (event) => pointerMove(editor, event));
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => pointerUp(editor, event));
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomBy(editor.view, Math.exp(-event.deltaY / 400), pointIn(canvas, event)); }, { passive: false });
}

function pointIn(canvas, event) {
  const edge = canvas.getBoundingClientRect();
  return [event.clientX - edge.left, event.clientY - edge.top];
}

function pointerDown(editor, event) {
  const { view, fingers, view: { canvas } } = editor;
  const now = pointIn(canvas, event);
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, now);
  // The first of two fingers was not meant to paint.
  if (fingers.size > 1 && isPainting(editor) && performance.now() - editor.began < SECOND_FINGER_WITHIN) dropStroke(editor);
  if (fingers.size > 1 || event.button) {
    endStroke(editor);
    view.rectangle = null;
    editor.moving = now;
    return;
  }
  view.cursor = toPicture(view, now);
  if (editor.brush.tool === "rectangle") { view.rectangle = [view.cursor, view.cursor]; drawView(view); }
  else useTool(editor, view.cursor);
}

// What a press does with all tools but the rectangle, which pointer and keys draw in ways of their own.
function useTool(editor, point) {
  const { tool } = editor.brush;
  if (tool === "fill") pour(editor, point);
  else if (tool === "pick") pickColour(editor, point);
  else beginStroke(editor, point);
}

function pointerMove(editor, event) {
  const { view, fingers, view: { canvas } } = editor;
  const now = pointIn(canvas, event);
  if (fingers.has(event.pointerId)) {
    if (fingers.size > 1) pinch(editor, event.pointerId, now);
    else if (editor.moving) { panBy(view, [now[0] - editor.moving[0], now[1] - editor.moving[1]]); editor.moving = now; }
    else if (isPainting(editor)) for (const each of event.getCoalescedEvents?.() ?? [event]) strokeTo(editor, toPicture(view, pointIn(canvas, each)));
    else if (view.rectangle) view.rectangle = [view.rectangle[0], toPicture(view, now)];
    fingers.set(event.pointerId, now);
  }
  view.cursor = toPicture(view, now);
  drawView(view);
}

function pinch({ view, fingers }, id, now) {
  const [other] = [...fingers].filter(([key]) => key !== id).map(([, place]) => place);
  const old = fingers.get(id);
  const between = (point) => [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
  const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
  const [was, is] = [between(old), between(now)];
  panBy(view, [is[0] - was[0], is[1] - was[1]]);
  zoomBy(view, apart(now) / Math.max(1, apart(old)), is);
}

function pointerUp(editor, event) {
  const { view, fingers } = editor;
  fingers.delete(event.pointerId);
  if (fingers.size) return;
  editor.moving = null;
  endStroke(editor);
  if (view.rectangle && event.type === "pointerup") fillRectangle(editor, view.rectangle);
  view.rectangle = null;
  drawView(view);
}

// The keyboard: arrows move a cursor, the space bar is the button.
function takeKeys(editor) {
  const { canvas } = editor.view;
  canvas.addEventListener("keyup", (event) => event.key === " " && endStroke(editor));
  canvas.addEventListener("blur", () => endStroke(editor));
}

const pictureMiddle = ({ size }) => [size[0] / 2, size[1] / 2];

function moveCursor(editor, event) {
  const { view, brush } = editor;
  const isFine = event.ctrlKey || event.metaKey;
  const far = (isFine ? 1 : Math.max(2, brush.size / 2) * (event.shiftKey ? 4 : 1)) * scaleOf(view);
  const [x, y] = toView(view, view.cursor ?? pictureMiddle(view));
  const [dx, dy] = MASK_ARROWS[event.key];
  const point = toPicture(view, [x + dx * far, y + dy * far]);
  view.cursor = point.map((value, at) => limited(value, 0, view.size[at]));
  followCursor(view);
  if (isPainting(editor)) strokeTo(editor, view.cursor);
  else if (view.rectangle) view.rectangle = [view.rectangle[0], view.cursor];
  drawView(view);
}

// The rectangle's corners are two presses.
function pressCursor(editor, event) {
  const { view, brush } = editor;
  view.cursor ??= pictureMiddle(view);
  if (event.repeat) return;
  if (brush.tool !== "rectangle") useTool(editor, view.cursor);
  else if (view.rectangle) { fillRectangle(editor, view.rectangle); view.rectangle = null; }
  else view.rectangle = [view.cursor, view.cursor];
  drawView(view);
}

const growBrush = (editor, factor) => setBrush(editor, "size", limited(Math.round(editor.brush.size * factor) + (factor > 1 ? 1 : -1), 1, Math.max(...editor.view.size)));
const hardenBrush = (editor, by) => setBrush(editor, "hardness", limited(editor.brush.hardness + by, 0, 1));
const MASK_KEYS = {
  "[": (editor) => growBrush(editor, 1 / 1.15), "]": (editor) => growBrush(editor, 1.15),
  "{": (editor) => hardenBrush(editor, -0.1), "}": (editor) => hardenBrush(editor, 0.1),
  x: (editor) => setBrush(editor, "value", 255 - editor.brush.value), i: invertMask, v: (editor) => showBare(editor, !editor.view.isBare),
  "+": ({ view }) => zoomBy(view, 1.25), "=": ({ view }) => zoomBy(view, 1.25), "-": ({ view }) => zoomBy(view, 0.8), 0: ({ view }) => fitView(view),
};

function maskKey(editor, event) {
  const isCommand = (event.ctrlKey || event.metaKey) && !event.getModifierState("AltGraph");
  const isDone = (isCommand && commandKey(editor, event)) || plainKey(editor, event, isCommand);
  if (!isDone) return;
  event.preventDefault();
  event.stopPropagation();
}

function commandKey(editor, event) {
  const key = keyOf(event);
  if (key === "y" || (key === "z" && event.shiftKey)) redoMask(editor);
  else if (key === "z") undoMask(editor);
  else if (key === "s" || key === "Enter") storeMask(editor);
  else return false;
  return true;
}

function plainKey(editor, event, isCommand) {
  const { canvas } = editor.view;
  const key = keyOf(event);
  if (event.key === "Escape") escapeMask(editor);
  else if (event.target.closest("input:not([type=range]):not([type=checkbox]), select")) return false;
  else if (event.target === canvas && MASK_ARROWS[event.key]) moveCursor(editor, event);
  else if (event.target === canvas && event.key === " ") pressCursor(editor, event);
  else if (event.key === "Enter" && !event.target.closest("button, label")) storeMask(editor);
  else if (!isCommand && TOOL_KEYS[key]) chooseTool(editor, TOOL_KEYS[key]);
  else if (!isCommand && MASK_KEYS[key]) MASK_KEYS[key](editor);
  else return false;
  return true;
}

function escapeMask(editor) {
  const { view } = editor;
  if (!view.rectangle) { leaveMask(editor); return; }
  view.rectangle = null;
  drawView(view);
}
