"""Ways of stepping many episodes, all with one protocol; what a step does is physics, who asks for it is gym."""
