"""The colours of every chart: two of Okabe and Ito's palette, which colour-blind people tell apart.

What a colour says is always said by a label too. `expectations/templates/topshelf.css` has the
pages' own colours, whose accent is the same.
"""

from typing import Final

EMPHASIS: Final = "#0072b2"
PLAIN: Final = "#b8b8b8"
