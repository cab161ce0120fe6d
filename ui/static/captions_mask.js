// Painting a mask: which part of a picture counts in training. White counts, black does not; on the picture, what does not
// count is tinted. The mask lies on the picture as its file has it; turning and cutting are only shown.
const loaded = (source) => new Promise((done) => { const image = new Image(); image.onload = () => done(image); image.onerror = () => done(null); image.src = source; });

// Opens the editor for the picture beside the grid.
async function openMask() {
  const row = await shownRow();
  if (!row || hasDialog()) return;
  await save();
  const facts = await ask("picture_facts", { row: row.id });
  if (!facts || facts.error) return;
  const [picture, old] = await Promise.all([loaded(originalAddress(row, facts, "painted")), facts.mask ? loaded(`../captions/masks/${state.info.key}/${row.id}?form=painted&v=${facts.mask}`) : null]);
  if (!picture) { say(words("picture_unreadable"), "error"); return; }
  if (hasDialog()) return;
  showMask(newEditor(row, facts, picture, old));
}

// All that the editor knows. `last` is where a stroke has come to, null while none is painted.
function newEditor(row, facts, picture, old) {
  const canvas = el("canvas", { class: "mask-canvas", id: "captions-mask-canvas", tabindex: "0", role: "application", "aria-label": words("mask.canvas"), "aria-describedby": "captions-mask-keys" });
  const view = newView(canvas, picture, facts);
  const { size } = view;
  const mask = old ? maskOf(old, size) : new Uint8Array(size[0] * size[1]).fill(255);
  const brush = { tool: "brush", value: 0, size: Math.max(4, Math.round(Math.max(...size) / 16)), hardness: 0.8, tolerance: 24 };
  const editor = { row, facts, view, brush, sheet: newSheet(size, mask), colours: coloursOf(picture, size), subject: { row, info: state.info }, last: null, began: 0, fingers: new Map(), moving: null, isStoring: false };
  editor.nodes = {
    failed: el("p", { class: "field-error", role: "alert", hidden: true }),
    share: el("p", { class: "crop-size", role: "status", "data-part": "mask-share" }),
    tools: toolsNode(editor), values: valuesNode(editor), sliders: MASK_SLIDERS.map((slider) => sliderNode(editor, slider)),
    edge: el("input", { type: "number", id: "captions-mask-edge", class: "data-search", min: 1, max: 500, step: 1, value: 8, "aria-label": words("mask.edge") }),
    asking: askingNode(editor), use: useNode(editor), ...colourNodes(editor), ...headNodes(editor),
    saving: button(words("mask.save"), () => storeMask(editor), { class: "main-button", id: "captions-mask-save" }),
  };
  return editor;
}

function failMask({ nodes: { failed } }, text) {
  failed.hidden = !text;
  failed.textContent = text ?? "";
  if (text) failed.scrollIntoView({ block: "nearest" });
}

function chooseTool(editor, name) {
  endStroke(editor);
  editor.view.rectangle = null;
  setBrush(editor, "tool", name);
  editor.view.canvas.focus();
}

function setBrush(editor, name, value) {
  editor.brush[name] = value;
  tellMask(editor);
}

// The mask alone, black and white, or the picture under the tint.
function showBare(editor, isBare) {
  editor.view.isBare = isBare;
  showChange(editor, [0, 0, ...editor.view.size]);
}

// Tells how things stand: what is chosen, what can be undone, how much of the picture counts.
function tellMask({ view, brush, sheet, nodes }) {
  for (const node of nodes.tools.children) node.setAttribute("aria-pressed", String(node.dataset.maskTool === brush.tool));
  for (const node of nodes.values.children) node.setAttribute("aria-pressed", String(Number(node.dataset.value) === brush.value));
  for (const { node, show } of nodes.sliders) { show(); node.classList.toggle("is-idle", (node.dataset.for === "tolerance") === isBrush(brush)); }
  view.radius = isBrush(brush) ? brush.size / 2 : 0;
  nodes.undoing.disabled = !sheet.done.length;
  nodes.redoing.disabled = !sheet.undone.length;
  nodes.looks.setAttribute("aria-pressed", String(view.isBare));
  const share = shareOf(sheet.mask);
  nodes.share.textContent = share === 1 ? words("mask.share.all") : words("mask.share", { share: Math.round(share * 1000) / 10 });
  nodes.saving.disabled = !isPainted(sheet);
  drawView(view);
}

// A picture of the user's as the mask.
async function importMask(editor, file) {
  const image = await createImageBitmap(file).catch(() => null);
  if (!image) return failMask(editor, words("mask.import.unreadable", { name: file.name }));
  const [wide, high] = editor.facts.size;
  if (Math.abs(image.width / image.height / (wide / high) - 1) > 0.02) return failMask(editor, words("mask.import.shape", { name: file.name, width: image.width, height: image.height, wide, high }));
  failMask(editor, "");
  const taken = maskOf(image, editor.sheet.size);
  return changeMask(editor, (mask) => { mask.set(taken); });
}

async function storeMask(editor) {
  if (editor.isStoring) return;
  endStroke(editor);
  const { sheet } = editor;
  if (!isPainted(sheet)) { closeMask(editor); return; }
  editor.isStoring = true;
  const answer = await askOf(editor.subject, "save_mask", { png: sheet.mask.every((value) => value === 255) ? null : await pngOf(sheet) });
  editor.isStoring = false;
  failMask(editor, answer?.error ?? (answer ? "" : words("unreachable.short")));
  if (!answer || answer.error) return;
  closeMask(editor);
  await pictured(answer, { quietly: true });
}

function closeMask({ watcher, dialog }) {
  watcher.disconnect();
  dialog.close();
  dialog.remove();
  if (document.activeElement === document.body) part("grid").focus({ preventScroll: true });
}

// What was painted is not lost by a slip: the second time it is.
function leaveMask(editor) {
  const { sheet, nodes: { asking } } = editor;
  endStroke(editor);
  if (!isPainted(sheet) || !asking.hidden) { closeMask(editor); return; }
  asking.hidden = false;
  asking.querySelector("button").focus();
}

// What stands beside the canvas.
function toolsNode(editor) {
  const keys = Object.fromEntries(Object.entries(TOOL_KEYS).map(([key, name]) => [name, key.toUpperCase()]));
  return el("div", { class: "mask-tools", role: "group", "aria-label": words("mask.tools") },
    ...MASK_TOOLS.map((name) => button(words("mask." + name), () => chooseTool(editor, name), { "data-mask-tool": name, title: keys[name] })));
}

function valuesNode(editor) {
  const choice = (value, name, swatch) => {
    const node = button("", () => { setBrush(editor, "value", value); editor.view.canvas.focus(); }, { "data-value": value });
    node.append(el("i", { class: swatch }), words(name));
    return node;
  };
  return el("div", { class: "mask-values", role: "group", "aria-label": words("mask.paints") }, choice(0, "mask.out", "swatch is-out"), choice(255, "mask.in", "swatch"));
}

// `most` is the picture's longer side. The brush is a few pixels or half a picture wide: its slider goes by the square.
const MASK_SLIDERS = [
  { name: "size", low: 1, high: 100, taken: (shown, most) => Math.max(1, Math.round((shown / 100) ** 2 * most)), shown: (size, most) => Math.round(100 * Math.sqrt(size / most)), text: (size) => `${size} px` },
  { name: "hardness", low: 0, high: 100, taken: (shown) => shown / 100, shown: (hardness) => Math.round(hardness * 100), text: (hardness) => `${Math.round(hardness * 100)}\u202f%` },
  { name: "tolerance", low: 0, high: 128, taken: (shown) => shown, shown: (tolerance) => tolerance, text: String },
];

function sliderNode(editor, { name, low, high, taken, shown, text }) {
  const most = Math.max(...editor.view.size);
  const input = el("input", { type: "range", id: "captions-mask-" + name, min: low, max: high, step: 1, oninput: () => setBrush(editor, name, taken(Number(input.value), most)) });
  const output = el("output", { for: input.id });
  const show = () => { input.value = shown(editor.brush[name], most); output.textContent = text(editor.brush[name]); };
  return { node: el("label", { class: "mask-slider", "data-for": name }, el("span", {}, words("mask." + name), " ", output), input), show };
}

function colourNodes(editor) {
  const typed = () => { if (/^#[0-9a-f]{6}$/i.test(hex.value)) colour.value = hex.value; };
  const entered = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    fillByColour(editor);
  };
  const hex = el("input", { type: "text", id: "captions-mask-hex", class: "data-search", value: "#ffffff", maxlength: 7, spellcheck: "false", autocomplete: "off", "aria-label": words("mask.colour"), oninput: typed, onkeydown: entered });
  const colour = el("input", { type: "color", value: "#ffffff", "aria-label": words("mask.colour"), oninput: () => (hex.value = colour.value) });
  return { hex, colour };
}

function headNodes(editor) {
  return {
    looks: button(words("mask.bare"), () => showBare(editor, !editor.view.isBare), { "data-tool": "bare", title: "V" }),
    undoing: iconButton("\u21b6", words("undo") + " (Ctrl+Z)", () => undoMask(editor), { "data-tool": "mask-undo" }),
    redoing: iconButton("\u21b7", words("redo") + " (Ctrl+Y)", () => redoMask(editor), { "data-tool": "mask-redo" }),
  };
}

function askingNode(editor) {
  const stay = () => { editor.nodes.asking.hidden = true; editor.view.canvas.focus(); };
  return el("div", { class: "tool-asking", role: "alert", hidden: true }, el("span", {}, words("mask.unsaved")),
    button(words("mask.save"), () => storeMask(editor), { class: "main-button", "data-tool": "asked-save" }),
    button(words("mask.discard"), () => closeMask(editor), { "data-tool": "asked-discard" }),
    button(words("mask.stay"), stay, { "data-tool": "asked-stay" }));
}

// Whether training looks at masks at all, with the way to make it.
function useNode(editor) {
  const { text, can_use: canUse } = editor.facts.masks;
  const use = async (event) => {
    const answer = await askOf(editor.subject, "use_masks");
    if (!answer?.text) { event.target.disabled = false; return; }
    node.firstChild.textContent = answer.text;
    node.lastChild.remove();
    editor.view.canvas.focus();
  };
  const node = el("p", { class: "mask-use" }, text, " ", canUse ? button(words("mask.use"), use, { "data-tool": "use-masks" }) : null);
  return node;
}

function wholeNode(editor) {
  const file = el("input", { type: "file", accept: "image/*", hidden: true, id: "captions-mask-file", onchange: () => file.files[0] && importMask(editor, file.files[0]).finally(() => (file.value = "")) });
  return el("div", { class: "crop-row" },
    button(words("mask.all_in"), () => fillAll(editor, 255), { "data-tool": "all-in" }), button(words("mask.all_out"), () => fillAll(editor, 0), { "data-tool": "all-out" }), button(words("mask.invert"), () => invertMask(editor), { "data-tool": "invert", title: "I" }),
    button(words("mask.import"), () => file.click(), { "data-tool": "import" }), file, button(words("background"), () => { closeMask(editor); openBackground(); }, { "data-tool": "mask-background" }));
}

function edgeNode(editor) {
  const act = (name, moved) => button(words("mask." + name), () => changeEdge(editor, moved), { "data-tool": name });
  return el("div", { class: "crop-row mask-edge" }, el("label", {}, editor.nodes.edge, " px"), act("grow", grownMask), act("shrink", shrunkMask), act("soften", softMask));
}

function maskSide(editor) {
  const { share, tools, values, sliders, colour, hex, use, failed } = editor.nodes;
  return el("div", { class: "tool-side" }, share, tools,
    el("h5", {}, words("mask.paints")), values, ...sliders.map(({ node }) => node),
    el("h5", {}, words("mask.colour")), el("div", { class: "crop-row" }, colour, hex, button(words("mask.colour.apply"), () => fillByColour(editor), { "data-tool": "by-colour" })),
    el("h5", {}, words("mask.edge")), edgeNode(editor),
    el("h5", {}, words("mask.whole")), wholeNode(editor),
    use, el("p", { class: "quiet", id: "captions-mask-keys" }, words("mask.keys")), failed);
}

function maskDialog(editor) {
  const { looks, undoing, redoing, asking, saving } = editor.nodes;
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog mask-dialog", "aria-label": words("mask"), onkeydown: (event) => maskKey(editor, event) },
    el("header", {}, el("strong", {}, words("mask")), el("span", { class: "tool-name" }, editor.row.name), el("span", { class: "spacer" }), looks, undoing, redoing),
    el("div", { class: "tool-body" }, el("div", { class: "tool-stage" }, editor.view.canvas, asking), maskSide(editor)),
    el("div", { class: "dialog-foot" }, el("span", { class: "quiet" }, words("mask.help")), button(words("cancel"), () => leaveMask(editor), { "data-tool": "cancel" }), saving));
  // A choice of a file that is given up is told by an event of the same name.
  dialog.addEventListener("cancel", (event) => { if (event.target !== dialog) return; event.preventDefault(); leaveMask(editor); });
  dialog.addEventListener("dragover", (event) => event.preventDefault());
  dialog.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) importMask(editor, event.dataTransfer.files[0]); });
  return dialog;
}

function showMask(editor) {
  const { view, sheet } = editor;
  editor.dialog = maskDialog(editor);
  editor.watcher = new ResizeObserver(() => drawView(view));
  takePointers(editor);
  takeKeys(editor);
  root.append(editor.dialog);
  editor.dialog.showModal();
  editor.watcher.observe(view.canvas);
  paintTint(view, sheet.mask);
  tellMask(editor);
  view.canvas.focus();
}
