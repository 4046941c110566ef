//! The registrar's contract, against the embedded name server and against BIND.

mod contract;
#[path = "../named/mod.rs"]
mod named;
#[path = "../question/mod.rs"]
mod question;

mod bind;
mod embedded;

contract!(in_process, crate::embedded::fixture);
contract!(by_dynamic_update, crate::bind::fixture);
