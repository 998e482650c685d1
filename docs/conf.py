"""The site: `python docs/build.py` builds it, after `pages/` has written the pages that follow the code."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

import modeseek  # noqa: E402

project = "modeseek"
author = "The modeseek authors"
copyright = f"2026, {author}"
release = version = modeseek.__version__

extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design", "pages.mathml", "pages.site"]
exclude_patterns = ["_build", "pages"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the committed notebooks hold their pictures, and the tests execute them

html_theme = "sphinx_book_theme"
html_title = "modeseek"
html_static_path = ["_static"]
html_css_files = ["modeseek.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "logo": {"text": "modeseek"},
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# A name of an annotation (`Model`, `Policy`) may be that of two classes: the reader sees which by the module.
suppress_warnings = ["ref.python"]
