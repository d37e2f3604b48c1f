// A line of text in JupyterLab's status bar, and a button that interrupts the kernel while that is offered.
// Both are gone when the kernel ends or restarts.
const interrupt = async (kernel) => {
  const { baseUrl, token } = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const headers = { "X-XSRFToken": document.cookie.match(/\b_xsrf=([^;]*)/)?.[1] ?? "" };
  if (token) headers.Authorization = `token ${token}`;
  const answer = await fetch(`${baseUrl}api/kernels/${kernel}/interrupt`, { method: "POST", headers });
  if (!answer.ok) throw new Error(answer.statusText || `status ${answer.status}`);
};

export default {
  initialize({ model }) {
    const bar = document.querySelector("#jp-main-statusbar .jp-StatusBar-Middle");
    if (!bar) return;
    const line = document.createElement("span");
    line.className = "jp-StatusBar-TextItem boostlab-status";
    line.style = "overflow: hidden; text-overflow: ellipsis; white-space: nowrap";
    const stop = document.createElement("button");
    stop.className = "boostlab-stop";
    stop.style = "font: inherit; color: inherit; background: none; border: 1px solid; border-radius: 2px; margin-left: 8px; padding: 0 6px; cursor: pointer; white-space: nowrap";
    stop.onclick = async () => {
      stop.disabled = true;
      stop.textContent = "Stopping …";
      try {
        await interrupt(model.get("kernel"));
      } catch (error) {
        stop.textContent = `${error.message}: use the notebook's Interrupt`;
      }
    };
    bar.append(line, stop);
    const show = () => {
      line.textContent = line.title = model.get("text");
    };
    const offer = () => {
      stop.textContent = model.get("stop");
      stop.hidden = !stop.textContent;
      stop.disabled = false;
    };
    const remove = () => {
      line.remove();
      stop.remove();
    };
    model.on("change:text", show);
    model.on("change:stop", offer);
    model.on("comm_live_update", remove);
    show();
    offer();
    return remove;
  },
};
