/* Empty on purpose: stands in the place of the admin library's drag-to-sort program; nothing in this desk's admin is sorted by hand. */
