//! A gateway for tests of the command: gives answers and keeps what it was asked.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

pub(crate) const TOKEN: &str = "token-of-the-test";

/// A gateway that gives the answers in order and keeps what it was asked: the request line, the token, the body.
pub(crate) fn gateway(
    answers: Vec<(u16, &'static str)>,
) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let serve = |(status, body)| answer(listener.accept().unwrap().0, status, body);
        answers.into_iter().map(serve).collect()
    });
    (url, asked)
}

fn answer(stream: TcpStream, status: u16, body: &str) -> String {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let (mut length, mut authorized) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        authorized |= line == format!("authorization: bearer {TOKEN}");
    }
    assert!(authorized, "{first}");
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).unwrap();
    let mut stream = reader.into_inner();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let first = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    format!("{first} {}", String::from_utf8(sent).unwrap())
        .trim_end()
        .to_owned()
}

pub(crate) fn sluice(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .args(arguments)
        .env("SLUICE_ADMIN_TOKEN", TOKEN)
        .env("USER", "ann");
    command
}

/// Runs the command against a gateway: what was asked of it, and what was printed.
pub(crate) fn run(arguments: &[&str], answers: Vec<(u16, &'static str)>) -> (Vec<String>, Output) {
    let (url, asked) = gateway(answers);
    let output = sluice(arguments).args(["--url", &url]).output().unwrap();
    (asked.join().unwrap(), output)
}

pub(crate) fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}
