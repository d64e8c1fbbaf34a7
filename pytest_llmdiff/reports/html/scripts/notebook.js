// A value in a notebook, or a page of its own: its blocks.

for (const block of data.blocks) {
  byId("blocks").append(make("section", {}, make("h2", {}, block.title), ...FORMS[block.form](block)));
}
