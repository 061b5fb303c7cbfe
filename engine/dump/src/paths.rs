//! Paths of source files.

/// Return a path that is relative to a folder as an absolute one, if the folder is.
pub fn join(folder: &[u8], path: &[u8]) -> Vec<u8> {
    if folder.is_empty() || is_absolute(path) {
        return path.to_vec();
    }
    if path.is_empty() {
        return folder.to_vec();
    }
    let separator = separator(folder);
    let mut joined = folder.to_vec();
    if !joined.ends_with(b"/") && !joined.ends_with(b"\\") {
        joined.push(separator);
    }
    joined.extend_from_slice(path);
    joined
}

fn is_absolute(path: &[u8]) -> bool {
    path.starts_with(b"/") || path.starts_with(b"\\") || path.get(1) == Some(&b':')
}

/// Return the separator that a folder uses: a drive letter and no `/` means Windows.
fn separator(folder: &[u8]) -> u8 {
    let is_windows = folder.starts_with(b"\\") || (folder.get(1) == Some(&b':') && !folder.contains(&b'/'));
    if is_windows { b'\\' } else { b'/' }
}
