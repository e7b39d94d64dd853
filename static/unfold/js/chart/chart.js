/* Empty on purpose: stands in the place of the admin library's chart program, which no page of this desk's admin uses. */
