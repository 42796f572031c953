// Sets the chosen theme before anything is drawn; "" is the system's. A plain script: modules run
// too late.
(() => {
  const names = ['', 'light', 'dark'];
  const read = () => {
    try {
      return localStorage.getItem('fairlead-theme') || '';
    } catch {
      return '';
    }
  };
  const apply = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
  };
  apply(read());
  window.fairleadTheme = {
    get: read,
    next() {
      const name = names[(names.indexOf(read()) + 1) % names.length];
      try {
        localStorage.setItem('fairlead-theme', name);
      } catch {
        /* for this page only */
      }
      apply(name);
      return name;
    },
  };
})();
