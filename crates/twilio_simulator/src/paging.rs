//! Pages of a list: which one a query wants, and the query of the next one.

use twilio::form;
use url::form_urlencoded;

/// Twilio's page size if the query has no `PageSize`.
const PAGE_SIZE: usize = 50;

/// Twilio's largest page size.
const MAX_PAGE_SIZE: usize = 1000;

/// The query of a list request.
#[derive(Debug)]
pub(crate) struct PageQuery {
    /// All parameters that are not about paging.
    pub(crate) filter: Vec<(String, String)>,
    pub(crate) size: usize,
    pub(crate) page: usize,
    /// The last entry of the page before. It marks the place even if new entries arrive.
    pub(crate) after: Option<String>,
}

impl PageQuery {
    pub(crate) fn parse(query: Option<&str>) -> Option<Self> {
        let all = form::parse(query.unwrap_or_default().as_bytes(), 200).ok()?;
        let mut wanted = Self {
            filter: Vec::new(),
            size: PAGE_SIZE,
            page: 0,
            after: None,
        };
        for (name, value) in all {
            match name.as_str() {
                "PageSize" => wanted.size = value.parse().ok()?,
                "Page" => wanted.page = value.parse().ok()?,
                "PageToken" => wanted.after = Some(value.strip_prefix("PA")?.to_owned()),
                _ => wanted.filter.push((name, value)),
            }
        }
        wanted.size = wanted.size.clamp(1, MAX_PAGE_SIZE);
        Some(wanted)
    }

    /// The entries of this page, and the last one if there are more. `all` has all entries in their
    /// order, with their SIDs; `matches` says which of them the query wants.
    pub(crate) fn take<'a, T>(
        &self,
        mut all: impl Iterator<Item = (&'a str, T)>,
        matches: impl Fn(&T) -> bool,
    ) -> (Vec<T>, Option<String>) {
        if let Some(after) = &self.after {
            all.by_ref().find(|(sid, _)| *sid == after.as_str());
        }
        let (mut page, mut last, mut more) = (Vec::new(), None, false);
        for (sid, entry) in all.filter(|(_, entry)| matches(entry)) {
            if page.len() == self.size {
                more = true;
                break;
            }
            page.push(entry);
            last = Some(sid);
        }
        (page, last.filter(|_| more).map(str::to_owned))
    }

    /// The query of another page of the same list.
    pub(crate) fn query(&self, page: usize, after: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .extend_pairs(&self.filter)
            .append_pair("PageSize", &self.size.to_string())
            .append_pair("Page", &page.to_string());
        if let Some(sid) = after {
            query.append_pair("PageToken", &format!("PA{sid}"));
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_without_a_gap() {
        let all = ["e", "d", "c", "b", "a"];
        let (mut seen, mut query) = (Vec::new(), "PageSize=2&To=x".to_owned());
        for page in 0.. {
            let wanted = PageQuery::parse(Some(&query)).expect("a query");
            let entries = all.iter().map(|sid| (*sid, *sid));
            let (entries, last) = wanted.take(entries, |sid| *sid != "c");
            seen.extend(entries);
            let Some(last) = last else { break };
            query = wanted.query(page + 1, Some(&last));
            assert!(query.starts_with("To=x&"), "{query}");
        }
        assert_eq!(seen, ["e", "d", "b", "a"]);
    }

    #[test]
    fn a_bad_page_is_refused() {
        for query in ["PageSize=x", "Page=-1", "PageToken=1", "To=%"] {
            assert!(PageQuery::parse(Some(query)).is_none(), "{query}");
        }
        let large = PageQuery::parse(Some("PageSize=100000")).expect("a query");
        assert_eq!(large.size, MAX_PAGE_SIZE);
    }
}
