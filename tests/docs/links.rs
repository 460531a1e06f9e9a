//! Whether the links of a page lead to a file, and to a heading in it.

use std::fs;
use std::path::Path;

use super::page::Page;
use super::root;

/// One message for each link into the repository that leads nowhere.
pub fn broken_links(page: &Page) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, line) in &page.prose {
        for target in targets(line).filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        {
            if let Some(why) = why_broken(page, target) {
                broken.push(format!("{}:{number}: {target}: {why}", page.name));
            }
        }
    }
    broken
}

/// The targets of the inline links of a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

fn why_broken(page: &Page, target: &str) -> Option<String> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let own = root().join(&page.name);
    let path = if file.is_empty() { own.clone() } else { own.parent().unwrap_or(Path::new("")).join(file) };
    if !path.exists() {
        return Some("there is no such file".to_owned());
    }
    if heading.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return None;
    }
    let other = Page::read(target.to_owned(), &fs::read_to_string(&path).unwrap());
    let mut headings = other.prose.iter().filter_map(|(_, line)| anchor(line));
    (!headings.any(|anchor| anchor == heading)).then(|| "there is no such heading".to_owned())
}

/// The anchor that code hosts make of a heading: lower case, words joined by hyphens, punctuation left out.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect())
}
