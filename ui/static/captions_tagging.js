// The dialog that starts a tagger on the open folder: the form of the taggers' schema, remembered from the last time.
const tagging = { values: JSON.parse(kept("tagging", "{}")), run: "" };

function openTagging() {
  const { fields, table, models } = props.value.tagging;
  const seen = (values) => Object.fromEntries(fields.map((field) => [`${table}.${field.name}`, values[field.name] ?? field.default]));
  const changed = () => { tagging.values = form.read(); form.show(tagging.values, seen(tagging.values)); };
  const form = rowForm(fields, "captions-tagging-form", changed);
  const close = () => { dialog.close(); dialog.remove(); };
  const failed = el("p", { class: "field-error", role: "alert", hidden: true });
  const start = async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    changed();
    keep("tagging", JSON.stringify(tagging.values));
    await save();
    const answer = await ask("tag", { values: tagging.values });
    pressed.disabled = false;
    failed.hidden = !answer?.error;
    failed.textContent = answer?.error ?? "";
    if (!answer?.run) return;
    close();
    say(words("tagging.started"), "done", button(words("tagging.show"), () => window.athanor.openRun(answer.run), { "data-tool": "show-run" }));
  };
  const dialog = el("dialog", { class: "athanor-dialog tagging-dialog", "aria-label": words("tagging") },
    el("header", {}, el("strong", {}, words("tagging"))),
    el("div", { class: "tagging-body" }, el("p", { class: "quiet" }, words("tagging.help", { num: many(state.info.num) })), form.node,
      el("datalist", { id: "captions-taggers" }, ...models.map((model) => el("option", { value: model.name }, `${model.title} \u00b7 ${model.size}`))), failed),
    el("div", { class: "dialog-foot" }, el("span", {}), button(words("cancel"), close), button(words("tagging.start"), start, { class: "main-button", id: "captions-tagging-start" })));
  dialog.addEventListener("cancel", () => dialog.remove());
  const trigger = tagging.values.trigger_word ?? props.value.tagging.trigger_word;
  form.show({ ...tagging.values, trigger_word: trigger }, seen(tagging.values));
  form.node.querySelector("#captions-tagging-form-model-input").setAttribute("list", "captions-taggers");
  document.body.append(dialog);
  dialog.showModal();
}
