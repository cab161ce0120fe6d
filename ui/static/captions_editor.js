// The caption beside the grid: of one picture as chips or as text, or what the selected pictures have in common.
const splitTags = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);
// Commas of Chinese keyboards part what is typed, too; and while such a keyboard composes a word, its keys are its own.
const COMMA = /[,\uff0c]/;
const typedTags = (text) => splitTags(text.replaceAll("\uff0c", ","));
const linesAsTags = (text) => text.split(/\r?\n/).map((line) => line.trim().replace(/[,\uff0c]+$/, "")).filter(Boolean).join(", ");
const joinTags = (tags, like) => tags.join(like.includes(",") && !like.includes(", ") ? "," : ", ");
const captionLines = (row) => row.text.split(/\r?\n/);
const currentLine = (row) => captionLines(row)[state.line] ?? "";
const sameTag = (a, b) => a.toLowerCase().replaceAll("_", " ") === b.toLowerCase().replaceAll("_", " ");

// Puts a caption into its line of the file; the other lines stay as they are, as they were `known` to the user.
function setLine(text, known = currentRow().text) {
  const lines = known.split(/\r?\n/);
  lines[state.line] = text;
  const whole = lines.join("\n");
  editRow(currentId(), whole, known);
  return whole;
}

function setTags(tags, focus = null) {
  setLine(joinTags(tags, currentLine(currentRow())));
  save();
  drawEditor(true);
  drawGrid();
  if (focus !== null) (part("editor").querySelectorAll(".chip")[Math.min(focus, tags.length - 1)] ?? part("editor").querySelector("#captions-add"))?.focus();
}

// Adds what was typed: to the caption of the picture, or to all that are selected.
async function addTags(typed) {
  const tags = typedTags(typed);
  if (!tags.length) return;
  const row = currentRow() ?? (await shownRow());
  if (!row) return;
  if (state.selected.size > 1) return changeMany("add", { tags: tags.join(", "), position: "end" });
  const have = splitTags(currentLine(row));
  const fresh = tags.filter((tag, at) => !have.some((other) => sameTag(other, tag)) && tags.indexOf(tag) === at);
  if (!fresh.length) return flash(tags[0]);
  setTags([...have, ...fresh]);
}

// A tag that is there already is shown, not added twice.
function flash(tag) {
  for (const chip of part("editor").querySelectorAll(".chip")) {
    if (!sameTag(chip.dataset.tag, tag)) continue;
    chip.classList.add("is-flashing");
    setTimeout(() => chip.classList.remove("is-flashing"), 900);
  }
}

async function changeMany(operation, values) {
  await save();
  const answer = await ask("apply", { operation, values, scope: "selected", ids: toText(state.selected) });
  if (answer && !answer.error) { said(answer); took(answer); drawEditor(true); }
}

const highlighted = (tag) => state.highlight.split(",").map((word) => word.trim()).filter(Boolean).some((word) => tag.toLowerCase().includes(word.toLowerCase()));

function chipNode(tag, at, { count = null, total = null, fact = currentRow()?.facts?.[tag] ?? {} } = {}) {
  const kinds = ["chip", fact.category ? "cat-" + fact.category : "", fact.unknown ? "is-unknown" : "", fact.trigger ? "is-trigger" : "", highlighted(tag) ? "is-highlighted" : "", count !== null && count < total ? "is-partial" : ""];
  const title = [fact.hint ? words("spell", { tag: fact.hint }) : "", fact.translation ?? ""].filter(Boolean).join(" \u00b7 ");
  return el("li", { class: kinds.filter(Boolean).join(" "), tabindex: at ? "-1" : "0", draggable: count === null ? "true" : null, "data-tag": tag, "data-at": at, title, "aria-label": count === null ? tag : `${tag}, ${count} / ${total}` },
    el("span", {}, tag), fact.hint && count === null ? el("button", { type: "button", class: "chip-hint", tabindex: "-1", title: `${words("spell", { tag: fact.hint })} (F7)`, onclick: (event) => takeHint(event.target.closest(".chip"), fact.hint) }, `\u2192 ${fact.hint}`) : null,
    fact.translation ? el("small", { class: "chip-translation" }, fact.translation) : null, count !== null && count < total ? el("small", {}, `${many(count)} / ${many(total)}`) : null,
    el("button", { type: "button", class: "chip-remove", tabindex: "-1", title: words("remove_tag", { tag }), "aria-label": words("remove_tag", { tag }) }, "\u00d7"));
}

// The tags of the caption as it is now, and the place of a chip's tag in it: others may have changed it since it was
// drawn. Behind all where the tag is gone.
function placeOf(chip) {
  const tags = splitTags(currentLine(currentRow()));
  const { tag } = chip.dataset;
  const drawnAt = Number(chip.dataset.at);
  const at = tags[drawnAt] === tag ? drawnAt : tags.indexOf(tag);
  return { tags, at: at < 0 ? tags.length : at };
}

// A misspelt tag becomes what was probably meant.
function takeHint(chip, hint) {
  const { tags, at } = placeOf(chip);
  const fresh = tags.some((tag) => sameTag(tag, hint)) ? [] : [hint];
  setTags([...tags.slice(0, at), ...fresh, ...tags.slice(at + 1)], at);
}

function editChip(chip) {
  const { tag } = chip.dataset;
  const done = (take) => {
    if (!input.isConnected || input.dataset.done) return;
    input.dataset.done = "1";
    const fresh = typedTags(input.value);
    if (!take || (fresh.length === 1 && fresh[0] === tag)) { drawEditor(true); part("editor").querySelectorAll(".chip")[chip.dataset.at]?.focus(); return; }
    if (state.selected.size > 1) return changeMany("merge", { tags: [tag], into: fresh.join(", ") });
    const { tags, at } = placeOf(chip);
    setTags([...tags.slice(0, at), ...fresh, ...tags.slice(at + 1)], at);
  };
  const input = el("input", { class: "chip-input", value: tag, "aria-label": words("edit_tag"), spellcheck: "false", onblur: () => done(true), onkeydown: (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") done(true);
    else if (event.key === "Escape") done(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  } });
  input.size = Math.max(4, tag.length);
  chip.replaceChildren(input);
  chip.draggable = false;
  input.focus();
  input.select();
}

function removeChip(chip) {
  if (state.selected.size > 1) return changeMany("merge", { tags: [chip.dataset.tag], into: "" });
  const { tags, at } = placeOf(chip);
  return setTags(tags.toSpliced(at, 1), at);
}

function moveChip(chip, step) {
  const { tags, at } = placeOf(chip);
  const place = Math.min(Math.max(at + step, 0), tags.length - 1);
  tags.splice(place, 0, ...tags.splice(at, 1));
  setTags(tags, place);
}

function chipKey(event) {
  const chip = event.target.closest(".chip");
  if (!chip || event.target.matches("input")) return;
  const at = Number(chip.dataset.at);
  const chips = [...chip.parentElement.children];
  const one = state.selected.size < 2;
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e6, End: 1e6 }[event.key];
  if (step && event.altKey && one) moveChip(chip, step);
  else if (step && !event.altKey) chips[Math.min(Math.max(at + step, 0), chips.length - 1)].focus();
  else if (event.key === "Delete" || event.key === "Backspace") removeChip(chip);
  else if (event.key === "Enter" || event.key === "F2") editChip(chip);
  else if (keyOf(event) === "f" && !event.ctrlKey && !event.metaKey && !event.altKey) filterBy(chip.dataset.tag, event.shiftKey);
  else if (event.key === "F7" && one) chip.querySelector(".chip-hint")?.click();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// Chips are dragged to another place; the line shows where one would go.
let dragged = null;
// From the press on a chip to its release: drawn anew meanwhile, it would be neither clicked nor dragged.
let isPressed = false;
root.addEventListener("pointerdown", (event) => { isPressed = event.target.closest(".chip") !== null; });
function release() {
  if (!isPressed) return;
  isPressed = false;
  setTimeout(drawEditor); // behind the click
}
for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, release);
function dragOver(event) {
  if (!dragged) return;
  event.preventDefault();
  const over = event.target.closest(".chip");
  if (!over) return; // between two chips the line stays where it was
  for (const chip of part("editor").querySelectorAll(".drop-before, .drop-after")) chip.classList.remove("drop-before", "drop-after");
  if (over === dragged) return;
  const box = over.getBoundingClientRect();
  over.classList.add(event.clientX < box.left + box.width / 2 ? "drop-before" : "drop-after");
}
function drop(event) {
  event.preventDefault();
  const target = part("editor").querySelector(".drop-before, .drop-after");
  if (!target || !dragged) return;
  const from = placeOf(dragged).at;
  const to = placeOf(target).at + (target.classList.contains("drop-after") ? 1 : 0);
  const chip = dragged;
  dragged = null;
  moveChip(chip, (to > from ? to - 1 : to) - from);
}

function chipList(nodes) {
  return el("ul", { class: "chips", "data-rove": ".chip", "aria-label": words("tags"), onkeydown: chipKey,
    onclick: (event) => { const chip = event.target.closest(".chip"); if (chip && event.target.closest(".chip-remove")) removeChip(chip); else if (chip && (event.ctrlKey || event.metaKey)) filterBy(chip.dataset.tag, event.shiftKey); },
    ondblclick: (event) => { const chip = event.target.closest(".chip"); if (chip && !event.target.closest("input, .chip-remove")) editChip(chip); },
    ondragstart: (event) => { dragged = event.target.closest(".chip"); event.dataTransfer.effectAllowed = "move"; event.dataTransfer.setData("text/plain", dragged?.dataset.tag ?? ""); },
    ondragover: dragOver, ondrop: drop, ondragend: () => { dragged = null; drawEditor(true); } }, ...nodes);
}

// Lines that are pasted into a box of one line are tags.
function pasteLines(event) {
  const text = event.clipboardData.getData("text/plain");
  if (!/[\r\n]/.test(text)) return;
  event.preventDefault();
  const input = event.target;
  input.setRangeText(linesAsTags(text), input.selectionStart, input.selectionEnd, "end");
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

// Below the box, or above it where there is more room.
function placeList(input, list) {
  const frame = (input.closest(".is-large .caption-words") ?? input.closest(".caption-editor"))?.getBoundingClientRect() ?? { top: 0, bottom: innerHeight };
  const { top, bottom } = input.getBoundingClientRect();
  const [above, below] = [top - frame.top, frame.bottom - bottom];
  const isAbove = below < 170 && above > below;
  list.classList.toggle("is-above", isAbove);
  list.style.maxHeight = `${Math.min(260, Math.max(110, (isAbove ? above : below) - 10))}px`;
}

// The box that adds a tag, with what the server thinks is meant.
function suggesting(input, taken) {
  const list = el("ul", { class: "suggestions", role: "listbox", id: input.id + "-list", "aria-label": input.getAttribute("aria-label"), hidden: true });
  let at = -1;
  let ticket = 0;
  const shown = () => [...list.children];
  const hide = () => { ticket += 1; list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  const mark = (position) => {
    at = position;
    shown().forEach((node, index) => node.setAttribute("aria-selected", index === at));
    shown()[at]?.scrollIntoView({ block: "nearest" });
    if (at >= 0) input.setAttribute("aria-activedescendant", shown()[at].id);
    else input.removeAttribute("aria-activedescendant");
  };
  const take = (text) => { hide(); taken(text); };
  // What was typed before the last comma comes along.
  const takeTag = (tag) => take([...input.value.split(COMMA).slice(0, -1), tag].join(", "));
  const find = later(90, async () => {
    const typed = input.value.split(COMMA).at(-1).trim();
    const mine = ++ticket;
    if (!typed) return hide();
    const answer = await ask("complete", { text: typed, row: currentId() });
    if (mine !== ticket || !answer?.tags || document.activeElement !== input) return;
    list.replaceChildren(...answer.tags.map((tag, index) => el("li", { role: "option", id: `${list.id}-${index}`, class: tag.category ? "cat-" + tag.category : "", onmousedown: (event) => { event.preventDefault(); takeTag(tag.tag); } },
      el("span", {}, tag.tag), tag.alias ? el("small", {}, `\u2190 ${tag.alias}`) : null, tag.translation ? el("small", {}, tag.translation) : null, el("b", {}, tag.count ? many(tag.count) : ""))));
    list.hidden = !answer.tags.length;
    placeList(input, list);
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(-1);
  });
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("autocomplete", "off");
  input.addEventListener("input", find);
  input.addEventListener("blur", hide);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const open = !list.hidden && shown().length;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) mark((at + (event.key === "ArrowDown" ? 1 : -1) + shown().length + (at < 0 && event.key === "ArrowUp" ? 1 : 0)) % shown().length);
    else if (open && event.key === "Tab" && !event.shiftKey) takeTag(shown()[Math.max(at, 0)].querySelector("span").textContent);
    else if (event.key === "Enter" && open && at >= 0) takeTag(shown()[at].querySelector("span").textContent);
    else if (event.key === "Enter") take(input.value);
    else if (open && event.key === "Escape") hide();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return el("div", { class: "suggesting" }, input, list);
}

const TYPED = "athanor.captions.typed";
function addBox() {
  const label = words(state.selected.size > 1 ? "add_to_selected" : "add_tag");
  // What is typed and not added yet stays when one goes to another picture, or away.
  const input = el("input", { id: "captions-add", class: "data-search", type: "text", spellcheck: "false", placeholder: label, "aria-label": label, value: sessionStorage.getItem(TYPED) ?? "", onpaste: pasteLines, oninput: () => sessionStorage.setItem(TYPED, input.value) });
  const box = suggesting(input, async (text) => { input.value = ""; sessionStorage.removeItem(TYPED); await addTags(text); part("editor").querySelector("#captions-add")?.focus(); });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    if (event.key === "Backspace" && !input.value) part("editor").querySelector(".chip:last-child")?.focus();
    else if (event.key === "Escape") part("grid").focus();
    else return;
    event.preventDefault();
  });
  return box;
}

function textBox(row) {
  const box = el("textarea", { id: "captions-text", rows: 8, "aria-label": words("caption"), spellcheck: "true", oninput: () => {
    box.known = setLine(box.value.replace(/\r?\n/g, " "), box.known);
    saveSoon();
    part("tokens")?.classList.add("is-old");
  }, onblur: () => save(), onkeydown: (event) => event.key === "Escape" && !event.isComposing && part("grid").focus() });
  box.value = currentLine(row);
  box.known = row.text;
  return box;
}

// What others wrote while one only reads comes into the box; never under a hand that types.
function refreshText(box, row) {
  if (box.known === row.text || unsaved.has(row.id) || box.value !== (box.known.split(/\r?\n/)[state.line] ?? "")) return;
  const { selectionStart, selectionEnd } = box;
  box.value = currentLine(row);
  box.known = row.text;
  box.setSelectionRange(selectionStart, selectionEnd);
}

function linesNode(row) {
  const lines = captionLines(row);
  const shown = lines.length > 1 && !lines.at(-1) ? lines.slice(0, -1) : lines;
  if (!row.text.trim()) return null;
  const num = Math.max(shown.length, state.line + 1);
  const goTo = (index) => { save(); state.line = index; drawEditor(true); };
  const one = (_, index) => button(words("line", { num: index + 1 }), () => goTo(index), { "aria-pressed": String(index === state.line), title: shown[index] ?? "" });
  const more = iconButton("+", words("line.add"), () => { goTo(shown.length); focusEditor(); }, { "data-tool": "add-line", disabled: num > shown.length });
  return el("div", { class: "caption-lines", role: "group", "aria-label": words("lines") }, ...(num > 1 ? Array.from({ length: num }, one) : []), more);
}

// What training makes of the lines, as long as that is not what they look like: captions of their own.
function linesHelp(row) {
  if (!row.lines) return null;
  const partLines = button(words("lines.part"), async () => { await save(); const answer = await ask("part_lines", { row: row.id }); if (answer && !answer.error) took(answer); }, { "data-tool": "part-lines" });
  return el("p", { class: "quiet caption-lines-help" }, words("lines." + row.lines), " ", row.lines === "random" ? null : partLines);
}

// One of the two captions, with what the other lacks marked; several lines stay as they are.
const conflictText = (text, other) => (text.trim() && !text.includes("\n") ? marked(text, other, "ins") : [text || "\u2014"]);

function conflictNode(row) {
  const conflict = state.conflicts.get(row.id);
  if (!conflict) return null;
  const end = (mine) => async () => {
    state.conflicts.delete(row.id);
    if (mine && conflict.mine !== row.text) { editRow(row.id, conflict.mine); await save(); }
    else { const answer = await ask("settle", { row: row.id }); if (answer && !answer.error) took(answer); }
    refresh();
    drawEditor(true);
  };
  return el("section", { class: "caption-conflict", role: "alert", tabindex: "-1" }, el("p", {}, words(conflict.gone ? "conflict.gone" : "conflict")),
    el("h2", {}, words("conflict.theirs")), el("p", { class: "preview-text" }, ...conflictText(conflict.text, conflict.mine)),
    el("h2", {}, words("conflict.mine")), el("p", { class: "preview-text" }, ...conflictText(conflict.mine, conflict.text)),
    el("div", { class: "captions-tools" }, button(words("conflict.take_theirs"), end(false)), button(words("conflict.take_mine"), end(true))));
}

const editorButtons = () => el("div", { class: "view-switch", role: "group" }, ...["tags", "text"].map((mode) => el("button", { type: "button", "aria-pressed": String(state.mode === mode), onclick: () => setMode(mode) }, words("mode." + mode))));

function setMode(mode) {
  save();
  state.mode = mode;
  keep("mode", mode);
  drawEditor(true);
  focusEditor();
}

function focusEditor() {
  showTab("picture");
  showPane("side");
  drawEditor();
  const box = part("editor").querySelector(state.mode === "text" && state.selected.size < 2 ? "#captions-text" : "#captions-add");
  box?.focus();
  if (box?.matches("textarea")) box.setSelectionRange(box.value.length, box.value.length);
}

// Drawn anew only when something of it differs, and never while one types in it.
let drawn = "";
function drawEditor(force = false) {
  const box = part("editor");
  const row = currentRow();
  const isMany = state.selected.size > 1;
  const key = JSON.stringify([state.folder, isMany ? [...state.selected].slice(0, 50).concat(state.selected.size, state.version) : row, state.line, state.mode, state.highlight, root.classList.contains("is-large"), row && state.conflicts.get(row.id)]);
  if (!force && (key === drawn || dragged || isPressed)) return; // nothing is taken away under the pointer
  const typing = box.contains(document.activeElement) && document.activeElement.matches("input, textarea") ? document.activeElement : null;
  if (!force && typing && box.dataset.row === String(isMany ? "many" : currentId()) && (typing.value || typing.matches("textarea, .chip-input"))) return refreshTyped(typing, row, isMany);
  drawn = key;
  const chip = box.contains(document.activeElement) && !typing ? document.activeElement.closest(".chip")?.dataset.at : undefined;
  const tool = box.contains(document.activeElement) ? document.activeElement.dataset.tool : undefined;
  box.dataset.row = String(isMany ? "many" : currentId());
  if (isMany) manyNode(box);
  else box.replaceChildren(...(row ? oneNode(row) : []).filter(Boolean));
  if (typing?.id) box.querySelector("#" + typing.id)?.focus();
  if (chip !== undefined) box.querySelector(`.chip[data-at="${chip}"]`)?.focus();
  if (tool) box.querySelector(`[data-tool="${tool}"]`)?.focus();
}

// While one types, only what is around it is drawn anew.
function refreshTyped(typing, row, isMany) {
  if (row && typing.id === "captions-text") refreshText(typing, row);
  if (row && typing.id === "captions-add" && !isMany) part("editor").querySelector(".chips").replaceWith(tagChips(row));
  showTokens(row);
}

function showTokens(row) {
  const node = part("tokens");
  if (!node || !row) return;
  node.textContent = words("tokens", { num: many(row.tokens), limit: many(row.limit) });
  node.className = "caption-tokens" + (row.tokens > row.limit ? " is-over" : "");
}

const tagChips = (row) => chipList(splitTags(currentLine(row)).map((tag, at) => chipNode(tag, at)));

// The room of a picture is there before it is: what lies below must not jump under the pointer.
function roomFor(row) {
  const scale = Math.min(1, 768 / Math.max(row.width, row.height, 1));
  return row.width && row.height ? `--wide: ${Math.round(row.width * scale)}; --high: ${Math.round(row.height * scale)}` : null;
}

function oneNode(row) {
  const large = root.classList.contains("is-large");
  const source = address(row, large ? 1536 : 768);
  const old = part("editor").querySelector(".caption-picture");
  const title = words(large ? "large.close" : "large.open");
  // The same picture is not drawn again: it would flicker.
  const picture = old?.firstElementChild.getAttribute("src") === source ? old
    : el("button", { type: "button", class: "caption-picture", style: roomFor(row), onclick: () => showLarge(!large), title, "aria-label": title }, el("img", { src: source, alt: row.name, onerror: (event) => { const frame = event.target.parentElement; frame?.classList.add("is-broken"); frame?.setAttribute("data-problem", words("picture_unreadable")); } }));
  layMask(picture, row, large);
  const editor = state.mode === "text" ? [textBox(row)] : [tagChips(row), addBox()];
  setTimeout(() => showTokens(currentRow()));
  return [
    el("header", { class: "caption-head" }, el("strong", { title: row.path }, row.name), row.width ? el("small", {}, `${row.width} \u00d7 ${row.height}`) : null, el("span", { class: "spacer" }),
      iconButton("\u2190", words("previous"), () => go(state.at - 1), { "data-tool": "previous" }), iconButton("\u2192", words("next"), () => go(state.at + 1), { "data-tool": "next" })),
    picture,
    el("div", { class: "caption-words" }, picturesNode(), row.problem ? el("p", { class: "field-error", role: "status" }, row.problem) : null, conflictNode(row),
      el("div", { class: "captions-tools" }, editorButtons(), linesNode(row), el("span", { class: "spacer" }), el("span", { class: "caption-tokens", "data-part": "tokens" })),
      linesHelp(row), ...editor)];
}

let manyTicket = 0;
async function manyNode(box) {
  const mine = ++manyTicket;
  const total = state.selected.size;
  const answer = await ask("common", { ids: toText(state.selected) });
  if (!answer || answer.error || mine !== manyTicket || state.selected.size !== total || box.querySelector(".chip-input:not([data-done])")) return;
  const hadFocus = document.activeElement?.id === "captions-add";
  const strip = [...state.selected].slice(0, 8).map((id) => state.rows.get(id)).filter(Boolean);
  box.replaceChildren(
    el("header", { class: "caption-head" }, el("strong", {}, words("many", { num: many(total) })), el("span", { class: "spacer" }), button(words("deselect"), () => selectAll(false))),
    el("div", { class: "picture-row" }, ...strip.map((row) => el("img", { src: address(row, 192), alt: row.name }))),
    picturesNode(),
    el("p", { class: "quiet" }, words("many.help")),
    chipList(answer.tags.map(([tag, count, fact], at) => chipNode(tag, at, { count, total, fact }))), addBox());
  if (hadFocus) box.querySelector("#captions-add").focus();
}

function showLarge(large) {
  root.classList.toggle("is-large", large);
  if (large) showTab("picture");
  drawEditor(true);
  drawGrid();
  if (!large) showPosition(state.at);
  (large ? part("editor").querySelector(".caption-picture") : part("grid"))?.focus({ preventScroll: true });
}
