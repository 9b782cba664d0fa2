from unmix.metrics import contract
