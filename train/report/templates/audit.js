// Labels are kept in the browser as they are given: a closed page loses nothing.
const figures = [...document.querySelectorAll("figure")], kept = "tgkt-edge-audit:" + location.pathname;
const quoted = text => '"' + text.replaceAll('"', '""') + '"';
const label = figure => figure.querySelector("input:checked")?.value ?? "";
const row = figure => quoted(figure.dataset.frame) + "," + quoted(label(figure)) + "\n";
const table = () => "frame,label\n" + figures.map(row).join("");
const store = (() => { try { return window.localStorage; } catch { return null; } })();
function count() {
  document.getElementById("count").textContent = figures.filter(label).length + " of " + figures.length + " labelled";
  store?.setItem(kept, JSON.stringify(Object.fromEntries(figures.map(f => [f.dataset.frame, label(f)]))));
}
const before = JSON.parse(store?.getItem(kept) ?? "{}");
for (const figure of figures)
  for (const input of figure.querySelectorAll("input")) input.checked = input.value === before[figure.dataset.frame];
document.addEventListener("change", count);
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = {{ table|tojson }};
  link.click();
});
count();
