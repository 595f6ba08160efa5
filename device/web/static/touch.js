"use strict";
// On the terminal's own screen a long press opens no menu, and nothing is dragged out of the page.
for (const event of ["contextmenu", "dragstart"]) addEventListener(event, (happened) => happened.preventDefault());
