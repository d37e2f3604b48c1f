// A native slider over a list of values. ipywidgets' own sliders have no name that a screen reader could say.
export default {
  render({ model, el }) {
    const input = document.createElement("input");
    const show = () => {
      const stops = model.get("stops");
      input.max = stops.length - 1;
      input.value = model.get("position");
      input.setAttribute("aria-label", model.get("label"));
      input.setAttribute("aria-valuetext", stops[model.get("position")]);
    };
    input.type = "range";
    input.style.cssText = "width: 100%; accent-color: var(--jp-brand-color1)";
    input.addEventListener("input", () => {
      model.set("position", Number(input.value));
      model.save_changes();
    });
    model.on("change", show);
    show();
    el.append(input);
  },
};
