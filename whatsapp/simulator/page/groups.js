'use strict';
/**
 * Groups: getAllGroups, getParticipants, iAmAdmin and sends to a group (wa-js), getChats (both).
 *
 * A group that we have left is still known, without us among its participants; it comes back from
 * the database after a restart, while queryAllGroups lists the groups we are in.
 */
(({ module, values }) => {
  module('WAWebGroupParticipantCollection', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    const isMe = (participant) => ns('WAWebUserPrefsMeUser').isMeAccount(participant.id);

    class Participant extends BaseModel {
      get contact() { return ns('WAWebContactCollection').ContactCollection.get(this.id); }
    }
    Participant.Proxy = 'participant';
    exports.Participant = defineModel(Participant);

    class ParticipantCollection extends ns('WAWebCollection').default {
      iAmMember() { return this.some(isMe); }
      iAmRestrictedMember() { return false; }
      iAmAdmin() { return this.some((p) => isMe(p) && p.isAdmin); }
      iAmSuperAdmin() { return this.some((p) => isMe(p) && p.isSuperAdmin); }
      getAdmins() { return this.filter((p) => p.isAdmin); }
      others() { return this.filter((p) => !isMe(p)); }
    }
    ParticipantCollection.model = Participant;
    exports.default = ParticipantCollection;
  });

  module('WAWebGroupMetadataCollection', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    const ParticipantCollection = ns('WAWebGroupParticipantCollection').default;
    const wid = (id) => ns('WAWebWidFactory').createWid(id);

    class GroupMetadata extends BaseModel {
      /** Participants as plain data: whatsapp-web.js passes it out of the page. */
      serialize() { return { ...super.serialize(), participants: this.participants.serialize() }; }
    }
    GroupMetadata.Proxy = 'group_metadata'; // one of the spellings that wa-js accepts
    exports.GroupMetadata = defineModel(GroupMetadata);

    /** Raw metadata from what the server says of a group. */
    exports.fromServer = (group) => ({
      id: wid(group.id),
      subject: group.subject,
      desc: group.desc || undefined,
      owner: group.owner ? wid(group.owner) : undefined,
      creation: group.creation,
      groupType: 'DEFAULT',
      announce: Boolean(group.announce),
      isLidAddressingMode: true,
      size: group.participants.length,
      participants: new ParticipantCollection(group.participants.map((participant) => {
        if (participant.pn) {
          ns('WAWebLidPnCache').lidPnCache.add(
            wid(participant.id), { phoneNumber: wid(participant.pn) });
        }
        return {
          id: wid(participant.id),
          isAdmin: participant.admin,
          isSuperAdmin: participant.superAdmin,
        };
      })),
    });

    /** Remember what the server says of a group; resolves to its model. */
    exports.learn = async (group) => {
      await ns('SimStore').put('group-metadata', group);
      return exports.default.add(exports.fromServer(group), { merge: true })[0];
    };

    class GroupMetadataCollection extends ns('WAWebBaseCollection').BaseCollection {
      _handleParentGroupChange() {} // wa-js recognises the store by it
      async update(id) {
        try {
          return await exports.learn(await ns('SimComms').call('group', { id: id.toString() }));
        } catch (error) {
          const known = this.get(id);
          if (known) return known; // one that we have left
          throw error;
        }
      }
    }
    GroupMetadataCollection.model = GroupMetadata;
    exports.default = new GroupMetadataCollection();
  });

  module('WAWebGroupQueryJob', (exports, ns) => {
    exports.queryAllGroups = async () => {
      const groups = await ns('SimComms').call('groups', {});
      await Promise.all(groups.map(ns('WAWebGroupMetadataCollection').learn));
      return groups.map(ns('WAWebGroupMetadataCollection').fromServer);
    };
    exports.queryAndUpdateGroupMetadataById = async ({ id }) => (
      ns('WAWebGroupMetadataCollection').default.update(ns('WAWebWidFactory').createWid(id)));
  });

  values('WAWebGroupActionDb', { updateDBForGroupAction: async () => null });

  module('SimGroups', (exports, ns) => {
    /** A group that we are in, or were: its metadata and its chat. */
    exports.enter = async (group) => {
      const { ChatCollection } = ns('WAWebChatCollection');
      await ns('WAWebGroupMetadataCollection').learn(group);
      const id = ns('WAWebWidFactory').createWid(group.id);
      const chat = ChatCollection.get(id) || ChatCollection.gadd({ id, unreadCount: 0 });
      chat.set({ name: group.subject });
      await ns('SimMessageTable').saveChat(chat);
    };

    /** Groups from the database, as they were when we last heard of them. */
    exports.restore = async () => {
      for (const group of await ns('SimStore').all('group-metadata')) {
        const { default: known, fromServer } = ns('WAWebGroupMetadataCollection');
        known.add(fromServer(group), { merge: true });
      }
    };

    /** Somebody came, left, or became an admin; or the group has another name. */
    exports.change = async ({ id, change, group, participants, author, t }) => {
      const { createWid } = ns('WAWebWidFactory');
      await exports.enter(group);
      const chatId = createWid(group.id);
      const people = participants.map(createWid);
      const by = author ? createWid(author) : undefined;
      // wa-js wraps this to tell of people who come and go; it calls leaving a removal by oneself.
      const actionType = change === 'leave' ? 'remove' : change;
      await ns('WAWebGroupActionDb').updateDBForGroupAction(
        { chatId, author: by, externalId: id, offline: null, pushname: '', ts: t, actions: [] },
        { actionType, action: actionType, participants: people.map((one) => ({ id: one })) });
      const note = {
        id: new (ns('WAWebMsgKey').default)({
          fromMe: false, remote: chatId, id, participant: by || people[0] || chatId,
        }),
        type: 'gp2',
        subtype: change,
        body: change === 'subject' ? group.subject : '',
        recipients: participants,
        from: chatId,
        to: ns('WAWebUserPrefsMeUser').getMaybeMeLidUser(),
        author: by,
        self: 'in',
        isNewMsg: true,
        ack: 1,
        t,
      };
      await ns('WAWebMsgCollection').MsgCollection.processMultipleMessages(chatId, [note]);
    };
  });

  values('WAWebApiParticipantStore', {
    getParticipants: async () => null,
    addParticipants: async () => null,
    updateParticipants: async () => null,
  });
})(self.Simulator);
