"""What a model is fed, and how it scores: family, frames and sizes, samples, packing, attention, adapters."""
