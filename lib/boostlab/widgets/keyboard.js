// JupyterLab takes keys for its own commands while a menu or a button of an output has the focus: the arrows move to another cell,
// and D twice deletes the cell. It leaves keys to an element with this attribute, which each control of the box gets with the focus.
const keep = (event) => {
  event.target.dataset.lmSuppressShortcuts = "true";
};

export default {
  render({ el }) {
    let isLive = true;
    const begin = () => {
      if (el.parentElement) el.parentElement.addEventListener("focusin", keep);
      else if (isLive) requestAnimationFrame(begin);
    };
    begin();
    return () => { isLive = false; };
  },
};
