/* The form that chooses what to run, on pages without live numbers. */
import { installForm } from "../form.js";

installForm();
