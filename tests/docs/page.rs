//! A Markdown page as its fenced blocks.

/// A page.
pub struct Page {
    /// Its path in the repository.
    pub name: String,
    pub blocks: Vec<Block>,
    /// Lines outside of blocks, with their numbers.
    pub prose: Vec<(usize, String)>,
}

/// A fenced block.
pub struct Block {
    /// The number of its first line of text in the page, from 1.
    pub line: usize,
    /// What stands behind the opening fence.
    pub info: String,
    /// Its lines, each with a line feed.
    pub text: String,
    pub role: Role,
    /// The section it stands in: how many headings come before it.
    pub section: usize,
}

/// What a block is to the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// To be typed.
    Command,
    /// Commands that are only looked at.
    NotTyped,
    /// What the command block before it prints.
    Output,
    /// The text of this file.
    File(String),
    Other,
}

impl Page {
    pub fn read(name: String, markdown: &str) -> Page {
        let mut page = Page { name, blocks: Vec::new(), prose: Vec::new() };
        let mut open: Option<(usize, Block)> = None;
        let mut paragraph = String::new(); // since the last blank line that text followed
        let (mut blank, mut section) = (false, 0);
        for (number, line) in (1..).zip(markdown.lines()) {
            let ticks = line.bytes().take_while(|byte| *byte == b'`').count();
            match &mut open {
                Some((fence, _)) if ticks == *fence && line.trim_end().len() == ticks => {
                    page.blocks.extend(open.take().map(|(_, block)| block));
                    paragraph.clear();
                }
                Some((_, block)) => block.text.extend([line, "\n"]),
                None if ticks >= 3 => {
                    let info = line[ticks..].trim().to_owned();
                    let role = role_of(&info, &paragraph, page.blocks.last());
                    open =
                        Some((ticks, Block { line: number + 1, info, text: String::new(), role, section }));
                }
                None => {
                    section += usize::from(line.starts_with('#'));
                    if !line.trim().is_empty() {
                        if blank {
                            paragraph.clear();
                        }
                        paragraph.extend([line.trim(), " "]);
                    }
                    blank = line.trim().is_empty();
                    page.prose.push((number, line.to_owned()));
                }
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", page.name);
        page
    }
}

fn role_of(info: &str, paragraph: &str, before: Option<&Block>) -> Role {
    let is_command = |block: &Block| block.role == Role::Command;
    match info {
        "sh" => Role::Command,
        "sh no-run" => Role::NotTyped,
        "text" | "json" if paragraph.is_empty() && before.is_some_and(is_command) => Role::Output,
        _ => path_at_end(paragraph).map_or(Role::Other, Role::File),
    }
}

/// The path with which a paragraph ends: `` `shop/schema.yaml`: `` or the same as a link.
fn path_at_end(paragraph: &str) -> Option<String> {
    let rest = paragraph.trim_end().strip_suffix(':')?;
    let rest = match rest.strip_suffix(')') {
        Some(link) => link.rsplit_once("](")?.0,
        None => rest,
    };
    let path = rest.strip_suffix('`')?.rsplit_once('`')?.1;
    let is_file = path.contains('.') && !path.contains([' ', '*']) && !path.contains("..");
    (is_file && !path.starts_with('/')).then(|| path.to_owned())
}

/// Commands as the shell sees them: continued lines joined, comments taken off.
pub fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end().to_owned()).collect()
}
