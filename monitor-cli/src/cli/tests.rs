//! The command line takes what it should, and nothing else.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_revocation_has_exactly_one_target_and_a_reason() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("monitorctl revoke --engineer alice --reason x").is_ok());
    assert!(parse("monitorctl revoke --reason x").is_err());
    assert!(parse("monitorctl revoke --engineer alice").is_err());
    assert!(parse("monitorctl revoke --engineer alice --serial 7 --reason x").is_err());
    assert!(parse("monitorctl revoke --serial 7 --reason x --timeout soon").is_err());
}

#[test]
fn filters_take_the_names_of_the_model_only() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("monitorctl tail --kind credential --kind gap --verdict out_of_scope").is_ok());
    let error = parse("monitorctl tail --kind open")
        .unwrap_err()
        .to_string();
    assert!(error.contains("credential"), "{error}");
}
