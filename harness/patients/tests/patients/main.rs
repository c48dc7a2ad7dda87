//! Each patient, over HTTP: the honest one through its whole life and under 200 clients at once,
//! and each broken one with its bug.

mod cart;
mod command;
mod fhir;
mod maps;
mod octo;

mod http;
mod started;
