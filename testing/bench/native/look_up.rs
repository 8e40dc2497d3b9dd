//! Says what a service knows of an address: look_up URL TOKEN ADDRESS. The URL is http://ADDRESS:PORT.
use std::io::{Error, Read, Write};
use std::net::TcpStream;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let host = arguments[1].trim_start_matches("http://");
    let mut connection = TcpStream::connect(host)?;
    write!(
        connection,
        "GET /v1/addresses/{} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        arguments[3], arguments[2]
    )?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => println!("{body}"),
        _ => return Err(Error::other("the service did not answer 200")),
    }
    Ok(())
}
