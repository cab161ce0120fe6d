// The folder picker. Body of js_on_load of ui/picker.py: element, props, server.
// A button anywhere with data-browse="<element id of a text box>" and data-kind="folder", "model", "data" or "code" opens it.
// props.value: the texts, by name.
const text = (name) => props.value[name];
const REMEMBER = "athanor.folders.";
document.getElementById("folder-picker")?.remove();

const dialog = document.createElement("dialog");
dialog.id = "folder-picker";
dialog.className = "athanor-dialog";
dialog.innerHTML = `
  <form method="dialog">
    <header><strong></strong><button type="button" class="picker-close"></button></header>
    <div class="picker-path">
      <button type="button" class="picker-up">&#8593;</button>
      <input type="text" spellcheck="false" autocomplete="off" list="folder-picker-completions">
      <datalist id="folder-picker-completions"></datalist>
    </div>
    <div class="picker-body"><nav><div role="list"></div></nav><ul></ul></div>
    <div class="dialog-foot"><span role="status"></span><button type="button" class="picker-choose"></button></div>
  </form>`;
document.body.append(dialog);
const find = (selector) => dialog.querySelector(selector);
const input = find("input");
let target = "";
let kind = "folder";
let listing = null;
let selected = "";
let opener = null;

function button(label, path, note, choosable) {
  const item = document.createElement("li");
  const entry = document.createElement("button");
  entry.type = "button";
  const name = document.createElement("span");
  name.textContent = label;
  const small = document.createElement("small");
  small.textContent = note;
  entry.append(name, small);
  entry.addEventListener("click", () => (choosable === "file" ? choose(path) : show(path)));
  item.append(entry);
  item.className = choosable;
  return item;
}

function size(bytes) {
  if (bytes >= 2 ** 30) return (bytes / 2 ** 30).toFixed(1) + " GB";
  return bytes >= 2 ** 20 ? Math.round(bytes / 2 ** 20) + " MB" : Math.ceil(bytes / 1024) + " KB";
}

function note(entry) {
  if (entry.num_bytes !== null) return size(entry.num_bytes);
  if (entry.is_model) return text("model");
  if (!entry.num_images) return "";
  return filled(text("pictures"), { count: entry.num_images + (entry.more ? "+" : "") });
}

// A slow answer neither replaces a later one nor what was typed meanwhile.
let ticket = 0;
async function show(path, entered = false) {
  const mine = ++ticket;
  const typed = input.value;
  const answer = await server.list_folders({ path, kind });
  if (mine !== ticket) return;
  if (entered && answer.is_file) return choose(path.trim());
  listing = answer;
  selected = answer.path;
  if (input.value === typed) input.value = answer.path;
  find(".picker-up").disabled = !answer.parent;
  find("[role=list]").replaceChildren(...answer.places.map((place) => button(place.name, place.path, "", "dir")));
  const rows = answer.entries.map((e) => button(e.name, e.path, note(e), e.is_dir ? (e.is_model ? "dir is-model" : "dir") : "file"));
  find("ul").replaceChildren(...rows);
  find("ul").scrollTop = 0;
  const count = (kind === "folder" || kind === "data") && answer.num_images ? filled(text("pictures"), { count: answer.num_images }) : "";
  const hidden = answer.num_hidden ? filled(text("hidden"), { count: answer.num_hidden }) : "";
  find(".dialog-foot span").textContent = text(answer.error) || [count, hidden].filter(Boolean).join(" · ") || (rows.length ? "" : text("empty"));
  find(".dialog-foot span").classList.toggle("is-error", Boolean(answer.error));
}

const fieldOf = (id) => {
  const found = document.getElementById(id);
  return found?.matches("input, textarea") ? found : found?.querySelector("textarea, input");
};

// Writes into the text box as typing would, so that Gradio notices.
function choose(path) {
  const field = fieldOf(target);
  localStorage.setItem(REMEMBER + kind, path);
  dialog.close();
  if (!field) return;
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, path);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new Event("change", { bubbles: true }));
  field.focus();
  field.blur();
  if (opener?.isConnected) opener.focus();
}

async function open(id, wanted) {
  target = id;
  kind = wanted;
  const field = fieldOf(id);
  find("header strong").textContent = text("choose_" + kind);
  find(".picker-close").textContent = text("cancel");
  find(".picker-choose").textContent = text("choose");
  find(".picker-up").title = find(".picker-up").ariaLabel = text("up");
  find("nav").ariaLabel = text("places");
  dialog.ariaLabel = text("choose_" + kind);
  input.setAttribute("aria-label", text("path"));
  dialog.showModal();
  await show(field?.value || localStorage.getItem(REMEMBER + kind) || "");
  input.focus();
}

find(".picker-close").addEventListener("click", () => dialog.close());
find(".picker-up").addEventListener("click", () => show(listing.parent));
find(".picker-choose").addEventListener("click", () => choose(input.value.trim() || selected));
input.addEventListener("input", async () => {
  const { paths } = await server.list_folders({ complete: input.value, kind });
  find("datalist").replaceChildren(...paths.map((path) => Object.assign(document.createElement("option"), { value: path })));
});
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  show(input.value, true);
});
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

window.athanorBrowse?.abort();
window.athanorBrowse = new AbortController();
document.addEventListener(
  "click",
  (event) => {
    const pressed = event.target.closest("[data-browse]");
    if (!pressed) return;
    opener = pressed;
    open(opener.dataset.browse, opener.dataset.kind || "folder");
  },
  { signal: window.athanorBrowse.signal },
);
