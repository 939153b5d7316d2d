//! Names in a stream: held with what belongs to them, judged as wholes, released at once.

use haris_domain::{Detection, Verdict};
use haris_text::redact;

use super::group::{Group, repeated};
use super::{BadStream, CHANNELS_MAX, Flow, NAME_BYTES_MAX};
use crate::edit;
use crate::joined;
use crate::json::Node;
use crate::key;
use crate::part::{self, Held};
use crate::table::{Form, PlaceId};
use crate::walk::{Flowing, Lanes};

impl Flow<'_> {
    /// Takes the names of an event out of it. `spoke` are the groups whose text begins or goes on in
    /// this event.
    pub(super) fn name_parts(
        &mut self,
        names: Vec<Flowing>,
        spoke: &[(PlaceId, Lanes)],
        node: &mut Node<'_>,
    ) -> Result<(), BadStream> {
        if names.is_empty() {
            return Ok(());
        }
        let group_of = |name: &Flowing| (self.table.place(name.place).group.unwrap_or(name.place), name.lanes);
        // Servers that leave the index out, or count no calls, begin another call in the same place.
        let begins = |name: &&Flowing| {
            let known = self.channels.iter().find(|channel| channel.place == name.place && channel.lanes == name.lanes);
            let text = edit::find(node, &name.steps).and_then(Node::as_str).unwrap_or_default();
            !text.is_empty()
                && known.is_some_and(|channel| channel.out > 0 && channel.original[channel.begins..] != *text)
        };
        let begun: Vec<_> = names.iter().filter(begins).map(group_of).collect();
        for name in names {
            let group = (self.table.place(name.place).group.unwrap_or(name.place), name.lanes);
            self.name_part(&name, spoke.contains(&group), begun.contains(&group), node)?;
        }
        Ok(())
    }

    /// Takes whatever waits for a name out of an event; what is whole comes back.
    pub(super) fn regroup(&mut self, spoke: &[(PlaceId, Lanes)], node: &mut Node<'_>) -> Result<(), BadStream> {
        for index in 0..self.groups.len() {
            let group = &mut self.groups[index];
            if group.waits {
                group.take(self.table, node);
                if spoke.contains(&(group.place, group.lanes)) {
                    self.open_group(index, node)?;
                }
            }
        }
        Ok(())
    }

    fn name_part(&mut self, flow: &Flowing, spoke: bool, another: bool, node: &mut Node<'_>) -> Result<(), BadStream> {
        let Some(value) = edit::at(node, &flow.steps) else { return Ok(()) };
        let Node::String(text) = std::mem::replace(value, Node::Null) else { return Ok(()) };
        if text.is_empty() {
            *value = Node::String(text);
            return Ok(());
        }
        if flow.lanes[0].is_some_and(|lane| self.ended.contains(&lane)) {
            return Err(BadStream::TextAfterEnd);
        }
        let channel = self.channel(flow)?;
        let group = self.group(flow)?;
        let channel = &mut self.channels[channel];
        if another && channel.out > 0 {
            channel.begins = channel.original.len();
            channel.parts = 0;
            channel.out = 0;
        }
        // Some servers repeat id and name with every part of the arguments; clients that put parts
        // together would repeat them too. Once is enough.
        if (channel.out > 0 || spoke) && channel.original[channel.begins..] == *text {
            return Ok(());
        }
        self.groups[group].waits = true;
        channel.original.push_str(&text);
        channel.parts += 1;
        if channel.original.len() > NAME_BYTES_MAX {
            return Err(BadStream::NameTooLong);
        }
        match self.key {
            Some(key) if key::is_in(channel.original.as_bytes(), key) => Err(BadStream::Key),
            _ => Ok(()),
        }
    }

    fn group(&mut self, flow: &Flowing) -> Result<usize, BadStream> {
        let place = self.table.place(flow.place).group.unwrap_or(flow.place);
        let same = |group: &Group| group.place == place && group.lanes == flow.lanes;
        if let Some(index) = self.groups.iter().position(same) {
            return Ok(index);
        }
        if self.groups.len() >= CHANNELS_MAX {
            return Err(BadStream::TooManyTexts);
        }
        self.groups.push(Group::new(place, flow.lanes));
        Ok(self.groups.len() - 1)
    }

    /// The names of a group are whole: judges them and puts them, and what waited, into `node`.
    fn open_group(&mut self, index: usize, node: &mut Node<'_>) -> Result<(), BadStream> {
        let (place, lanes) = (self.groups[index].place, self.groups[index].lanes);
        self.groups[index].put(self.table, node);
        for index in 0..self.channels.len() {
            let channel = &self.channels[index];
            let of_group = channel.form == Form::Name
                && channel.lanes == lanes
                && self.table.place(channel.place).group == Some(place);
            if of_group && channel.begins + channel.out < channel.original.len() {
                let (place, text) = (channel.place, self.judge_name(index)?);
                part::insert(node, &self.table.place(place).path, lanes, Held::Text(text));
            }
        }
        Ok(())
    }

    /// What of a whole name goes out.
    fn judge_name(&mut self, index: usize) -> Result<String, BadStream> {
        let channel = &mut self.channels[index];
        let inspect = |text: &str| self.engine.inspect(text, channel.context).detections;
        let mut found = inspect(&channel.original);
        let one = repeated(&channel.original[channel.begins..], channel.parts).map(str::len);
        if let (Some(length), true) = (one, found.is_empty()) {
            channel.original.truncate(channel.begins + length);
            found = inspect(&channel.original);
        }
        found.append(&mut channel.detections);
        let found = joined::in_order(found);
        let begins = channel.begins;
        let mut bad = match self.key {
            Some(key) if key::is_piece(&channel.original[begins..], key) => Err(BadStream::Key),
            _ => Ok(()),
        };
        for detection in &found {
            let action = (self.decide)(detection);
            self.found.add(&channel.field, detection, action);
            self.blocked |= action == Verdict::Block;
            let reaches_back = detection.span.start < begins && detection.span.end > begins;
            if reaches_back && action >= Verdict::Redact {
                bad = Err(BadStream::NameGoesOn);
            }
        }
        channel.out = channel.original.len() - begins;
        let text = redact(&channel.original[begins..], begins, &found, self.decide).0;
        channel.detections = found;
        bad.map(|()| text)
    }

    /// Releases what waits for its names in a lane that ends.
    pub(super) fn end_names(&mut self, lane: Option<u32>, before: &mut Vec<Node<'_>>) -> Result<(), BadStream> {
        self.join_runs(lane);
        for index in 0..self.groups.len() {
            let group = &self.groups[index];
            if group.waits && group.lanes[0] == lane {
                let part = self.room(&self.table.place(group.place).path, group.lanes, before);
                self.open_group(index, &mut before[part])?;
            }
        }
        Ok(())
    }

    /// Items that came one after the other at one position of a list are read together too.
    fn join_runs(&mut self, lane: Option<u32>) {
        for (list, run) in self.appended.runs(lane) {
            let of_list = |place: PlaceId| {
                self.table.place(place).group.is_some_and(|group| self.table.place(group).path == list)
            };
            let mut places: Vec<PlaceId> = Vec::new();
            for channel in self.channels.iter().filter(|channel| channel.lanes[0] == lane && of_list(channel.place)) {
                if !places.contains(&channel.place) {
                    places.push(channel.place);
                }
            }
            for place in places {
                let at = |item: &u32| {
                    let same =
                        |channel: &super::Channel| channel.place == place && channel.lanes == [lane, Some(*item)];
                    self.channels.iter().position(same)
                };
                let indices: Vec<usize> = run.iter().filter_map(at).collect();
                let texts: Vec<&str> = indices.iter().map(|index| self.channels[*index].original.as_str()).collect();
                if texts.len() < 2 {
                    continue;
                }
                let context = self.channels[indices[0]].context;
                let identifiers = &mut self.identifiers;
                let add = |text: &str, found: &[Detection]| identifiers.add(text, found);
                for (part, found) in joined::across(self.engine, &texts, context, add) {
                    self.channels[indices[part]].detections.extend(found);
                }
            }
        }
    }
}
