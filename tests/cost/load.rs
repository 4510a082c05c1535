//! What a jump host does all day, one operation at a time, measured.
//!
//! `load measure --root DIR --nothing FILE --clock tsc|monotonic [--beside PID]...
//! [--only NAME] [--share N]` prints one line of JSON an operation: the
//! instructions (or nanoseconds) of each round, the caller's and those that the
//! processes beside it spent because of it. `load job DIR` is one step of the
//! operation `build`; `load stage DIR` makes the files.
//!
//! Needs nothing but the standard library: `cargo xtask bench` compiles it with
//! rustc alone, statically, so that it runs in a bare machine.

#![expect(unsafe_code, reason = "system calls without the library's extras")]

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn read(descriptor: c_int, room: *mut c_void, bytes: usize) -> isize;
    fn close(descriptor: c_int) -> c_int;
    fn fork() -> c_int;
    fn execv(path: *const c_char, arguments: *const *const c_char) -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
}

/// From `asm/unistd.h`, which differs between the two.
#[cfg(target_arch = "x86_64")]
const GETPPID: c_long = 110;
#[cfg(not(target_arch = "x86_64"))]
const GETPPID: c_long = 173;

const ROUNDS: usize = 3;
/// Until the processes beside have dealt with the last event.
const SETTLE: Duration = Duration::from_millis(300);
/// Files below the root of the stage.
const ELSEWHERE: &str = "elsewhere/usr/share/doc/package/readme";
const SAME_DEVICE: &str = "usr/share/doc/package/copyright";
const BESIDE_A_NAME: &str = "etc/ssh/moduli";
const CREDENTIAL: &str = "srv/acme/credentials/backup/token";
const JOB: &str = "elsewhere/build";
const HEADERS: usize = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("measure") => Options::read(&arguments).and_then(|options| measure(&options)),
        Some("stage") => folder(&arguments).and_then(stage),
        Some("job") => folder(&arguments).and_then(|root| job(&root)),
        _ => Err(io::Error::other("usage: load measure|stage|job ...")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn folder(arguments: &[String]) -> io::Result<PathBuf> {
    let folder = arguments.get(1).map(PathBuf::from);
    folder.ok_or_else(|| io::Error::other("which folder?"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// The time stamp counter: with QEMU's instruction clock, instructions.
    Counter,
    /// Nanoseconds.
    Monotonic,
}

struct Options {
    root: PathBuf,
    nothing: PathBuf,
    clock: Clock,
    beside: Vec<u32>,
    only: Option<String>,
    /// One of so many operations is done: for a short check.
    share: usize,
    start: Instant,
}

impl Options {
    fn read(arguments: &[String]) -> io::Result<Self> {
        let mut options = Self {
            root: PathBuf::from("/"),
            nothing: PathBuf::from("nothing"),
            clock: Clock::Monotonic,
            beside: Vec::new(),
            only: None,
            share: 1,
            start: Instant::now(),
        };
        for pair in arguments.get(1..).unwrap_or_default().chunks(2) {
            let [flag, value] = pair else {
                return Err(io::Error::other(format!("{pair:?} lacks a value")));
            };
            match flag.as_str() {
                "--root" => options.root = PathBuf::from(value),
                "--nothing" => options.nothing = PathBuf::from(value),
                "--clock" if value == "tsc" => options.clock = Clock::Counter,
                "--clock" if value == "monotonic" => options.clock = Clock::Monotonic,
                "--beside" => options.beside.push(number(value)?),
                "--only" => options.only = Some(value.clone()),
                "--share" => options.share = number(value)?.max(1) as usize,
                _ => return Err(io::Error::other(format!("{flag} {value}: not known"))),
            }
        }
        Ok(options)
    }

    fn now(&self) -> u64 {
        match self.clock {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: every x86-64 processor has it.
            Clock::Counter => unsafe { std::arch::x86_64::_rdtsc() },
            #[cfg(not(target_arch = "x86_64"))]
            Clock::Counter => nanoseconds(self.start),
            Clock::Monotonic => nanoseconds(self.start),
        }
    }
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn number(text: &str) -> io::Result<u32> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text}: not a number")))
}

/// Makes the files that are opened. What is there stays.
fn stage(root: PathBuf) -> io::Result<()> {
    let mut files: Vec<PathBuf> = [ELSEWHERE, SAME_DEVICE, BESIDE_A_NAME, CREDENTIAL]
        .iter()
        .map(|file| root.join(file))
        .collect();
    let job = root.join(JOB);
    files.extend((0..HEADERS).map(|at| job.join(format!("include/linux/header-{at}.h"))));
    for file in files {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        if !file.exists() {
            fs::write(&file, "x".repeat(2_000))?;
        }
    }
    fs::create_dir_all(job.join("out"))
}

/// Processor time of the processes beside, all threads, nanoseconds.
fn spent(beside: &[u32]) -> u64 {
    let threads = beside.iter().flat_map(|process| {
        let folder = fs::read_dir(format!("/proc/{process}/task"));
        folder.into_iter().flatten().flatten()
    });
    threads
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

/// Runs one operation so many times; the rounds as JSON.
fn run(
    options: &Options,
    name: &str,
    count: usize,
    operation: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<()> {
    if options.only.as_ref().is_some_and(|only| only != name) {
        return Ok(());
    }
    let count = (count / options.share).max(2);
    for _ in 0..count.div_ceil(10) {
        operation()?;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        std::thread::sleep(SETTLE);
        let before = spent(&options.beside);
        let start = options.now();
        for _ in 0..count {
            operation()?;
        }
        let end = options.now();
        let meanwhile = spent(&options.beside);
        std::thread::sleep(SETTLE);
        let after = spent(&options.beside);
        rounds.push(format!(
            "{{\"elapsed\":{},\"beside\":{},\"beside_afterwards\":{}}}",
            end.saturating_sub(start),
            after.saturating_sub(before),
            after.saturating_sub(meanwhile)
        ));
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "COST {{\"operation\":\"{name}\",\"count\":{count},\"rounds\":[{}]}}",
        rounds.join(",")
    )?;
    out.flush()
}

fn measure(options: &Options) -> io::Result<()> {
    run(options, "getppid", 20_000, &mut || {
        // SAFETY: it takes no argument and changes nothing.
        unsafe { syscall(GETPPID) };
        Ok(())
    })?;
    for (name, file) in [
        ("open_elsewhere", ELSEWHERE),
        ("open_same_device", SAME_DEVICE),
        ("open_beside_a_name", BESIDE_A_NAME),
    ] {
        let path = c_path(&options.root.join(file))?;
        run(options, name, 6_000, &mut || open_read_close(&path))?;
    }
    let credential = c_path(&options.root.join(CREDENTIAL))?;
    run(options, "open_credential", 10_000, &mut || {
        open_read_close(&credential)
    })?;
    let nothing = c_path(&options.nothing)?;
    run(options, "fork", 400, &mut || child(None))?;
    run(options, "exec", 400, &mut || child(Some(&nothing)))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    run(options, "tcp", 600, &mut || {
        drop(TcpStream::connect(address)?);
        listener.accept().map(drop)
    })?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let address = receiver.local_addr()?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    run(options, "udp", 10_000, &mut || {
        sender.send_to(b"question", address).map(drop)
    })?;
    let own = std::env::current_exe()?;
    let root = options.root.join(JOB);
    run(options, "build", 40, &mut || {
        let status = Command::new(&own).arg("job").arg(&root).status()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other("a step of the build failed")),
        }
    })
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn open_read_close(path: &CString) -> io::Result<()> {
    let mut room = [0_u8; 4_096];
    // SAFETY: the path ends with a zero.
    let descriptor = unsafe { open(path.as_ptr(), 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the room is as large as it says.
    unsafe { read(descriptor, room.as_mut_ptr().cast(), room.len()) };
    // SAFETY: it was opened above.
    unsafe { close(descriptor) };
    Ok(())
}

/// A child that ends at once, or starts a program that does.
fn child(program: Option<&CString>) -> io::Result<()> {
    // SAFETY: this process has one thread.
    let process = unsafe { fork() };
    if process == 0 {
        if let Some(program) = program {
            let arguments = [program.as_ptr(), std::ptr::null()];
            // SAFETY: path and arguments end with zeros.
            unsafe { execv(program.as_ptr(), arguments.as_ptr()) };
        }
        // SAFETY: the child has nothing to clean up.
        unsafe { _exit(i32::from(program.is_some())) }
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    if process < 0 || unsafe { waitpid(process, &raw mut status, 0) } != process {
        return Err(io::Error::last_os_error());
    }
    match status {
        0 => Ok(()),
        _ => Err(io::Error::other("the child failed")),
    }
}

/// One step of a build: looks for headers in several folders, reads those that
/// are there, computes, writes its result under another name and renames it.
fn job(root: &Path) -> io::Result<()> {
    let mut sum = 0_u64;
    for at in 0..HEADERS {
        let name = format!("linux/header-{at}.h");
        for folder in ["arch/include", "generated", "include/uapi"] {
            let _ = fs::metadata(root.join(folder).join(&name));
        }
        let text = fs::read(root.join("include").join(&name))?;
        sum = text
            .iter()
            .fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
    }
    for turn in 0..400_000_u64 {
        sum = std::hint::black_box(sum.wrapping_mul(6_364_136_223_846_793_005) ^ turn);
    }
    let (made, named) = (root.join("out/.part"), root.join("out/object.o"));
    fs::write(&made, sum.to_le_bytes().repeat(1_000))?;
    fs::rename(made, named)
}
