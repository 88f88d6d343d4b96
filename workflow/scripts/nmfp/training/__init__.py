"""Training: what a step draws, gathers and computes, and how a run is kept, resumed and judged."""
