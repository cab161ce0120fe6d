// What is done to many pictures at once: cut to a shape, masks of a folder, taken back. A dialog shows what would be done
// before it is; work that takes a while tells how far it is and can be ended, with what was done by then as one step.
const WORK_EVERY = 400;
const ANCHORS = [0, 0.5, 1].flatMap((down) => [0, 0.5, 1].map((across) => [across, down]));

// Which pictures are meant: the selected ones where there are several, else those in the filter.
const meantScope = (scope) => ({ scope, ...filtered(), ids: scope === "selected" ? toText(meant()) : "" });
const usualScope = () => (state.selected.size > 1 ? "selected" : "shown");

// Does something to many pictures, which `title` names; returns what became of it. The rows may get other numbers by it.
const workOnMany = (title, request) => inTurn(async () => {
  await save();
  const work = { ...request, token: `${tabName}-${Date.now()}`, at: currentRow()?.name ?? "" };
  let answer = await ask("many", work);
  if (!answer?.waiting) { await pictured(answer); return answer; }
  const telling = workDialog(title);
  while (answer?.waiting) {
    telling.show(answer);
    await new Promise((done) => setTimeout(done, WORK_EVERY));
    answer = await ask("many", { ...work, ids: "", only: "", generation: undefined, cancel: telling.isStopped() });
  }
  telling.close();
  await pictured(answer);
  return answer;
});

function workDialog(title) {
  let isStopped = false;
  const text = el("p", { role: "status" }, words("working"));
  const bar = el("progress", { max: 100, "aria-label": words("working") });
  const end = () => { isStopped = true; stop.disabled = true; };
  const stop = button(words("working.stop"), end, { "data-tool": "work-stop" });
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog small-dialog", "aria-label": title }, el("header", {}, el("strong", {}, title)), el("div", { class: "tool-form work-form" }, bar, text), el("div", { class: "dialog-foot" }, el("span", {}), stop));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); end(); });
  root.append(dialog);
  dialog.showModal();
  return {
    isStopped: () => isStopped,
    show: ({ waiting, percent }) => { text.textContent = waiting; if (percent !== null) bar.value = percent; },
    close: () => { dialog.close(); dialog.remove(); if (document.activeElement === document.body) part("grid").focus({ preventScroll: true }); },
  };
}

const resetPictures = () => workOnMany(words("reset"), { do: "reset", scope: "selected", ids: toText(pictureIds()), filter: "" });
const removeMasks = () => workOnMany(words("mask.remove"), { do: "masks_removed", scope: "selected", ids: toText(pictureIds()), filter: "" });

// A dialog over many pictures: `fields` are its choices, `request` what they ask for (null while that is wrong), `method`
// tells what would be done, `kind` names its texts and does it, `wrong` says what keeps it from being asked.
function manyDialog({ title, help, fields, request, method, apply, kind, wrong = () => "" }) {
  let ticket = 0;
  const close = () => { dialog.close(); dialog.remove(); if (document.activeElement === document.body) part("grid").focus({ preventScroll: true }); };
  const lines = el("ul", { class: "many-lines", role: "status", "data-part": "many-lines" });
  const warning = el("p", { class: "tool-missing", role: "status", hidden: true });
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });
  const strip = el("div", { class: "many-strip" });
  const begin = button(words(apply, { num: 0 }), () => start(), { class: "main-button", id: "captions-many-apply", disabled: true });
  const fail = (text) => { failed.hidden = !text; failed.textContent = text || ""; };
  const preview = later(150, async () => {
    if (!dialog.open) return;
    const mine = ++ticket;
    const wanted = request();
    begin.disabled = true;
    if (!wanted) return show({ error: wrong() });
    const answer = await Promise.resolve(server[method]({ folder: state.folder, generation: state.info?.generation, ...wanted })).catch(() => null);
    if (mine !== ticket || !dialog.open) return;
    if (answer?.renumbered) { await openFolder(state.folder); preview(); return; }
    show(answer ?? { error: words("unreachable.short") });
  });
  const show = (answer) => {
    fail(answer.error);
    const num = answer.num ?? 0;
    begin.disabled = !num;
    begin.textContent = words(apply, { num: many(num) });
    lines.replaceChildren(...(answer.lines ?? []).map((line) => el("li", {}, line)));
    warning.hidden = !answer.warning;
    warning.textContent = answer.warning ?? "";
    strip.replaceChildren(...stripNodes(answer.examples ?? []));
  };
  const start = () => { const wanted = request(); close(); workOnMany(title, { do: kind(), ...wanted }); };
  const dialog = el("dialog", { class: "athanor-dialog tool-dialog small-dialog many-dialog", "aria-label": title }, el("header", {}, el("strong", {}, title)),
    el("div", { class: "tool-form" }, el("p", { class: "quiet" }, help), manyScopeNode(preview), ...fields(preview), lines, warning, strip, failed),
    el("div", { class: "dialog-foot" }, el("span", {}), button(words("cancel"), close, { "data-tool": "cancel" }), begin));
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  root.append(dialog);
  dialog.showModal();
  preview();
  return dialog;
}

const choiceNode = (id, label, options, onchange) => el("label", {}, label, el("select", { id, onchange }, ...options.map(([value, text, selected]) => el("option", { value, selected: Boolean(selected) }, text))));
const chosenOf = (id) => root.querySelector("#" + id).value;
const manyScopeNode = (changed) => choiceNode("captions-many-scope", words("crops.scope"), ["selected", "shown", "all"].filter((scope) => scope !== "selected" || state.selected.size).map((scope) => [scope, words("scope." + scope), scope === usualScope()]), changed);
const existingNode = (name, changed) => choiceNode("captions-many-existing", words(name), ["keep", "replace"].map((value) => [value, words(`${name}.${value}`)]), changed);

// What is cut away of some pictures is dark, or which mask goes to which picture.
function stripNodes(examples) {
  if (!examples.length) return [];
  if (typeof examples[0] === "string") return [el("ul", { class: "many-lines quiet" }, ...examples.map((text) => el("li", {}, text)))];
  return [el("p", { class: "quiet" }, words("crops.strip")), el("div", { class: "crop-strip" }, ...examples.map(cutNode))];
}

function cutNode({ id, name, stamp, size: [across, down], crop: [left, top, width, height] }) {
  const share = (value, of) => `${(100 * value) / of}%`;
  const box = el("i", { style: `left:${share(left, across)};top:${share(top, down)};width:${share(width, across)};height:${share(height, down)}` });
  const image = el("img", { src: `../captions/pictures/${state.info.key}/${id}?size=192&form=whole&v=${stamp}`, alt: "", onerror: (event) => event.target.remove() });
  return el("figure", { class: "crop-cut", title: `${name}: ${across} \u00d7 ${down} \u2192 ${width} \u00d7 ${height}`, style: `aspect-ratio:${across} / ${down}` }, image, box);
}

// Cut to a shape.
function openCropMany() {
  if (!state.info || hasDialog()) return;
  const chosen = { shape: kept("crops.shape", "bucket"), anchor: 4 };
  const shapes = el("div", { class: "crop-shapes", role: "group", "aria-label": words("crops.shape") });
  const anchors = el("div", { class: "anchor-grid", role: "group", "aria-label": words("crops.anchor") });
  const mark = () => {
    for (const node of shapes.children) node.setAttribute("aria-pressed", String(node.dataset.shape === chosen.shape));
    for (const [at, node] of [...anchors.children].entries()) node.setAttribute("aria-pressed", String(at === chosen.anchor));
    own.setAttribute("aria-invalid", String(chosen.shape === "own" && !shapeOf(own.value)));
  };
  const own = el("input", { type: "text", id: "captions-many-own", class: "data-search", placeholder: "21:9", spellcheck: "false", autocomplete: "off", "aria-label": words("crop.typed"), title: words("crops.shape.wrong") });
  const copies = el("input", { type: "checkbox", id: "captions-many-copies" });
  const sizeOf = (shape) => (shape === "bucket" ? null : [Math.max(1, Math.round(10000 * Math.min(1, shape))), Math.max(1, Math.round(10000 * Math.min(1, 1 / shape)))]);
  const request = () => {
    const shape = chosen.shape === "bucket" ? "bucket" : shapeOf(chosen.shape === "own" ? own.value : chosen.shape);
    return shape ? { ...meantScope(chosenOf("captions-many-scope")), shape: sizeOf(shape), anchor: ANCHORS[chosen.anchor], existing: chosenOf("captions-many-existing") } : null;
  };
  const fields = (changed) => {
    const take = (name) => { chosen.shape = name; if (name !== "own") keep("crops.shape", name); mark(); changed(); };
    own.addEventListener("input", () => take("own"));
    shapes.append(...["bucket", ...SHAPES.filter(shapeOf)].map((name) => button(name === "bucket" ? words("crops.bucket") : name, () => take(name), { "data-shape": name })));
    anchors.append(...ANCHORS.map((_, at) => button("", () => { chosen.anchor = at; mark(); changed(); }, { title: words("anchor." + at), "aria-label": words("anchor." + at), "data-anchor": at })));
    mark();
    return [el("h5", {}, words("crops.shape")), shapes, el("label", { class: "crop-own" }, words("crop.typed"), own), el("h5", {}, words("crops.anchor")), anchors, existingNode("crops.existing", changed), el("label", { class: "batch-check" }, copies, words("crops.copies"))];
  };
  manyDialog({ title: words("crops.title"), help: words("crops.help"), fields, request, method: "crops_shown", apply: "crops.apply", kind: () => (copies.checked ? "crop_copies" : "crops"), wrong: () => (own.value.trim() ? words("crops.shape.wrong") : "") });
  shapes.querySelector("[aria-pressed=true]")?.focus();
}

// Masks that lie in a folder.
function openImportMasks() {
  if (!state.info || hasDialog()) return;
  const from = el("input", { type: "text", id: "captions-masks-from", class: "data-search", spellcheck: "false", autocomplete: "off", value: kept("masks.from", "") });
  const request = () => (from.value.trim() ? { ...meantScope(chosenOf("captions-many-scope")), from: from.value.trim(), existing: chosenOf("captions-many-existing") } : null);
  const fields = (changed) => {
    from.addEventListener("change", () => { keep("masks.from", from.value); changed(); });
    from.addEventListener("input", changed);
    return [el("label", { for: from.id }, words("masks.import.from")), el("div", { class: "with-button" }, from, el("button", { type: "button", class: "small-button", "data-browse": from.id, "data-kind": "folder" }, words("browse"))), existingNode("masks.import.existing", changed)];
  };
  manyDialog({ title: words("masks.import.title"), help: words("masks.import.help"), fields, request, method: "masks_shown", apply: "masks.import.apply", kind: () => "masks_imported" });
  from.focus();
}
