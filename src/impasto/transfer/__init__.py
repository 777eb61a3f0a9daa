"""One run from photo and paintings to a result, and what is made of several runs."""
