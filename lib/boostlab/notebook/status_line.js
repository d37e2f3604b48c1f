// A line of text in JupyterLab's status bar. It is gone when its kernel ends or restarts, or when it says nothing.
export default {
  initialize({ model }) {
    const bar = document.querySelector("#jp-main-statusbar .jp-StatusBar-Middle");
    if (!bar) return;
    const line = document.createElement("span");
    line.className = "jp-StatusBar-TextItem boostlab-status";
    line.style = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap";
    bar.append(line);
    const show = () => {
      line.textContent = line.title = model.get("text");
    };
    model.on("change:text", show);
    model.on("comm_live_update", () => line.remove());
    show();
    return () => line.remove();
  },
};
