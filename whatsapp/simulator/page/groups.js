'use strict';
/** Groups: getAllGroups, getParticipants and sends to a group (wa-js), getChats (both). */
(({ module, values }) => {
  module('WAWebGroupParticipantCollection', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    const isMe = (participant) => ns('WAWebUserPrefsMeUser').isMeAccount(participant.id);

    class Participant extends BaseModel {}
    Participant.Proxy = 'participant';
    exports.Participant = defineModel(Participant);

    class ParticipantCollection extends ns('WAWebCollection').default {
      iAmMember() { return this.some(isMe); }
      iAmAdmin() { return this.some((p) => isMe(p) && p.isAdmin); }
      iAmSuperAdmin() { return this.some((p) => isMe(p) && p.isSuperAdmin); }
      getAdmins() { return this.filter((p) => p.isAdmin); }
    }
    ParticipantCollection.model = Participant;
    exports.default = ParticipantCollection;
  });

  module('WAWebGroupMetadataCollection', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    const ParticipantCollection = ns('WAWebGroupParticipantCollection').default;
    const wid = (id) => ns('WAWebWidFactory').createWid(id);

    class GroupMetadata extends BaseModel {}
    GroupMetadata.Proxy = 'group_metadata'; // one of the spellings that wa-js accepts
    exports.GroupMetadata = defineModel(GroupMetadata);

    /** Raw metadata from what the server says of a group. */
    exports.fromServer = (group) => ({
      id: wid(group.id),
      subject: group.subject,
      owner: group.owner ? wid(group.owner) : undefined,
      creation: group.creation,
      groupType: 'DEFAULT',
      announce: Boolean(group.announce),
      isLidAddressingMode: true,
      size: group.participants.length,
      participants: new ParticipantCollection(group.participants.map((participant) => {
        ns('WAWebLidPnCache').lidPnCache.add(
          wid(participant.id), { phoneNumber: wid(participant.pn) });
        return {
          id: wid(participant.id),
          isAdmin: participant.admin,
          isSuperAdmin: participant.superAdmin,
        };
      })),
    });

    class GroupMetadataCollection extends ns('WAWebBaseCollection').BaseCollection {
      _handleParentGroupChange() {} // wa-js recognises the store by it
      async findImpl(id) {
        return exports.fromServer(await ns('SimComms').call('group', { id: id.toString() }));
      }
    }
    GroupMetadataCollection.model = GroupMetadata;
    exports.default = new GroupMetadataCollection();
  });

  module('WAWebGroupQueryJob', (exports, ns) => {
    exports.queryAllGroups = async () => (
      (await ns('SimComms').call('groups', {})).map(ns('WAWebGroupMetadataCollection').fromServer));
    exports.queryAndUpdateGroupMetadataById = async ({ id }) => (
      ns('WAWebGroupMetadataCollection').default.update(ns('WAWebWidFactory').createWid(id)));
  });

  values('WAWebApiParticipantStore', {
    getParticipants: async () => null,
    addParticipants: async () => null,
    updateParticipants: async () => null,
  });
})(self.Simulator);
