//! FP, the Flow Processors (draft sections 4.1.4 and 4.2, figures 6 and 7).

pub mod proto;
