//! Whole bundles: good ones are proven, and whatever is done to them is caught and named.

mod answers;
mod sample;
mod tamper;
mod witness;
