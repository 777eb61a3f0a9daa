"""The paper's experiment: what is run (`plan`), how runs are kept (`bench`), what the page shows of them."""
